"""The benchmarks run and tell the truth, at a tiny size and without peers: what they measure is not tested here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks._database import bench_server
from benchmarks._measure import Bar, bars_table, cpu_seconds, measured
from benchmarks._options import read_options
from benchmarks.loading import run as loading
from benchmarks.pull import run as pull
from resources.postgres.server import EmbeddedServer

RECORDS = 60


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with bench_server() as running:
        yield running


@pytest.fixture
def _one_server(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for benchmark in (loading, pull):
        monkeypatch.setattr(benchmark, "bench_server", lambda: nullcontext(server))


@pytest.mark.usefixtures("_one_server")
def test_the_loading_benchmark_counts_what_it_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "METHODS", loading.METHODS[:1])  # the parser has its turn with the pull
    figures = tmp_path / "figures.json"
    loading.main(["--size", str(RECORDS), "--without-peers", "--json", str(figures)])
    found = json.loads(figures.read_text())["measurements"]
    assert [one["counts"] for one in found if one["method"] == loading.OURS] == [
        {"created": 60, "updated": 0, "skipped": 0},
        {"created": 1, "updated": 6, "skipped": 54},
        {"created": 0, "updated": 0, "skipped": 61},
    ]
    assert all(one["exact"] for one in found)
    unchanged = [one for one in found if one["number"] == 2]
    assert [one["written"] for one in unchanged] == [0]
    assert [one["wide_wal_bytes"] for one in unchanged] == [0]
    assert all(one["client_us"] > 0 and one["server_us"] > 0 and one["rss_mb"] > 10 for one in found)
    assert "| ours | first load |" in capsys.readouterr().out


@pytest.mark.usefixtures("_one_server")
def test_the_pull_benchmark_counts_what_it_pulls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.json"
    pull.main(["--size", str(RECORDS), "--without-peers", "--json", str(figures)])
    found = json.loads(figures.read_text())["measurements"]
    assert [one["counts"] for one in found] == [
        {"created": 59, "updated": 0, "skipped": 0},
        {"created": 1, "updated": 6, "skipped": 53},
    ]
    assert all(one["exact"] for one in found)
    assert "| ours | first |" in capsys.readouterr().out


def test_wrong_counts_end_the_benchmark_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = loading.Measurement(
        method=loading.OURS,
        events=2,
        number=0,
        client_us=1.0,
        server_us=1.0,
        start_up_cpu=0.1,
        wall=0.1,
        rss_mb=50.0,
        wal_bytes=0,
        wide_wal_bytes=0,
        written=1,
        counts={"created": 1, "updated": 0, "skipped": 0},
        exact=False,
    )
    monkeypatch.setattr(loading, "measure", lambda count, options: [wrong])
    monkeypatch.setattr(loading, "bars", lambda found: [])
    with pytest.raises(SystemExit, match="ours, first load"):
        loading.main(["--size", "2"])


def test_every_benchmark_is_found_and_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"loading", "pull"} <= set(command.names())
    with pytest.raises(SystemExit):
        command.main(["nonsense"])
    assert "no benchmark nonsense" in capsys.readouterr().err


def test_measured_charges_the_body_alone() -> None:
    _burn(0.05)
    with measured() as cost:
        _burn(0.1)
    _burn(0.05)
    assert 0.1 <= cost.cpu < 0.15
    assert cost.rss_mb > 10


def test_a_bar_is_held_on_its_side_of_the_limit() -> None:
    assert Bar("less", 0.5, 0.6).held
    assert not Bar("less", 0.7, 0.6).held
    assert Bar("more", 7, 6, at_least=True).held
    assert not Bar("more", 5, 6, at_least=True).held
    assert "| **no** |" in bars_table([Bar("more", 5, 6, at_least=True)])


def test_sizes_are_those_asked_for() -> None:
    assert read_options("x", [], sizes=(10, 20), quick=(1,)).sizes == (10, 20)
    assert read_options("x", ["--quick"], sizes=(10, 20), quick=(1,)).sizes == (1,)
    assert read_options("x", ["--size", "9", "--size", "5"], sizes=(10, 20), quick=(1,)).sizes == (5, 9)


def _burn(seconds: float) -> None:
    end = cpu_seconds() + seconds
    while cpu_seconds() < end:
        pass
