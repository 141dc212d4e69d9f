"""The benchmark of scale: what it reads is what it wrote, and what it reports is what it measured."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale.phases import DEDUPLICATION, PIECES, Measurement
from benchmarks.scale.records import FIRST, LAST, lines, write
from benchmarks.scale.report import bars, exponent, report, series
from ingestion_assets.events.sources import SOURCE_NAMES


def test_every_record_is_written_once_in_the_order_of_days(tmp_path: Path) -> None:
    made = write(tmp_path, 2_000)
    assert set(made["records"]) == set(SOURCE_NAMES)
    end = LAST + timedelta(days=7)
    ids: set[tuple[str, str]] = set()
    for source, count in made["records"].items():
        found = list(lines(tmp_path / f"{source}.ndjson", FIRST, end))
        days = [record["local_date"] for record in found]
        assert (len(found), days) == (count, sorted(days))
        ids |= {(source, record["source_id"]) for record in found}
    assert len(ids) == sum(made["records"].values()) >= 1_950
    assert 300 < made["events"] < len(ids)


def test_a_window_reads_its_own_days_only(tmp_path: Path) -> None:
    write(tmp_path, 500)
    first, end = date(2025, 3, 3), date(2025, 6, 2)
    found = list(lines(tmp_path / "ticketmaster.ndjson", first, end))
    assert found
    assert all(first.isoformat() <= record["local_date"] < end.isoformat() for record in found)


def test_fewer_sources_list_as_many_records_of_more_events(tmp_path: Path) -> None:
    made = {}
    for sources in (1, 3, 7):
        (folder := tmp_path / str(sources)).mkdir()
        made[sources] = write(folder, 1_000, sources)
    assert [len(one["records"]) for one in made.values()] == [1, 3, 7]
    assert all(960 <= sum(one["records"].values()) <= 1_020 for one in made.values())
    assert made[1]["events"] > made[3]["events"] > made[7]["events"]


def measurement(records: int, asset: str, cpu: float, **more: Any) -> Measurement:
    again = more.get("again", False)
    return Measurement(
        records=records,
        asset=asset,
        counts={"fetched": records, "created": 0 if again else records, "updated": 0, "skipped": 0, "errors": 0},
        client_cpu=cpu / 2,
        start_cpu=2.0,
        server_cpu=cpu / 2,
        wall=cpu,
        phase_wall=cpu / more.get("workers", 1),
        rss_mb=150,
        **more,
    )


def everything(large: float) -> list[Measurement]:
    """Two sizes of which the larger one costs `large` in all, shared by workers and listed by fewer sources."""
    both = ("ics", DEDUPLICATION)
    found = [
        *(measurement(100_000, name, 50.0) for name in both),
        *(measurement(1_000_000, name, large / 2) for name in both),
        *(measurement(size, name, 1.0, again=True) for size in (100_000, 1_000_000) for name in both),
        *(measurement(100_000, name, cost, sources=n) for n, cost in ((1, 10.0), (3, 20.0)) for name in both),
    ]
    for workers in (1, 2):
        found += [measurement(100_000, DEDUPLICATION, 12.0, workers=workers, pieces=PIECES) for _ in range(PIECES)]
    return [*found, measurement(100_000, "ics", 50.0, workers=2)]


@pytest.mark.parametrize(("large", "held"), [(1_100.0, True), (1_500.0, False)])
def test_growth_that_is_worse_than_linear_misses_its_bar(large: float, held: bool) -> None:
    found = everything(large)
    [growth] = [bar for bar in bars(found) if bar.text.startswith("exponent of CPU")]
    assert growth.measured == pytest.approx(exponent(100.0, large, 10.0))
    assert growth.held is held
    told = report(found)
    assert "| 1000000 | deduplication |" in told
    assert f"| {exponent(50.0, large / 2, 10.0):.2f} | {(large / 2 - 50) / 0.9:.0f} us |" in told


def test_workers_are_compared_with_one_worker_that_does_the_same_runs() -> None:
    told = report(everything(1_000.0))
    assert "| 4 deduplications | 1 | 12.0 s | 1.00 | 56 s |" in told
    assert "| 4 deduplications | 2 | 6.0 s | 2.00 | 56 s |" in told
    assert "| 1 imports | 2 | 25.0 s | 2.00 | 52 s |" in told
    [wall] = [bar for bar in bars(everything(1_000.0)) if bar.text.startswith("wall of the deduplication")]
    assert (wall.measured, wall.held) == (2.0, True)


def test_lines_are_drawn_through_what_was_measured() -> None:
    drawn = {one["title"]: one for one in series(everything(1_000.0))}
    assert list(drawn) == [
        "Scale: CPU by records",
        "Scale: peak memory of a run by records",
        "Scale: CPU a record by sources, 100000 records",
        "Scale: wall time by workers, 100000 records",
    ]
    by_records, _, by_sources, by_workers = drawn.values()
    assert (by_records["x_log"], by_records["y_log"]) == (True, True)
    lines = {line["label"]: line["points"] for line in by_records["lines"]}
    assert lines["deduplication"] == [[100_000, 50.0], [1_000_000, 500.0]]
    assert lines["imports, nothing new"] == [[100_000, 1.0], [1_000_000, 1.0]]
    assert by_sources["lines"][0]["points"] == [
        [1, pytest.approx(100)],
        [3, pytest.approx(200)],
        [7, pytest.approx(500)],
    ]
    assert by_workers["lines"][1]["points"] == [[1, 12.0], [2, 6.0]]


def test_one_size_alone_is_reported_without_growth() -> None:
    found = [
        measurement(1_000_000, name, 500.0, again=again) for again in (False, True) for name in ("ics", DEDUPLICATION)
    ]
    assert series(found) == []
    assert "exponent" not in report(found)
