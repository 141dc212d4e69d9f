"""The benchmark of the service runs and tells the truth, at a tiny size: what it measures is not tested here."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks._database import bench_server
from benchmarks.api import run as benchmark


@pytest.mark.soak
def test_the_benchmark_measures_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "UPLOADS", 2)
    monkeypatch.setattr(benchmark, "UPLOAD_BYTES", 2 * 1024 * 1024)
    with bench_server() as server:
        found = asyncio.run(benchmark.measure(server, 5, 2.0))
    assert (found.streams_alive, found.requests, len(found.uploads)) == (5, 100, 2)
    assert 0 < found.p50 <= found.p95 <= found.p99 <= found.longest
    assert found.rss_streams > 50
    assert set(found.most_per_second) == {"/live", "/events?limit=20", "/batches/{id}"}
    text = benchmark.report(found)
    assert "| 5 | 100 |" in text
    assert "streams alive at the end" in text


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [benchmark.percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [51.0, 96.0, 100.0, 100.0]
    assert benchmark.percentile([7.0], 0.99) == 7.0
