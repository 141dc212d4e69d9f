"""The benchmark of scale: what it reads is what it wrote, and what it reports is what it measured."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from benchmarks.scale.records import FIRST, LAST, lines, write
from benchmarks.scale.run import DEDUPLICATION, Measurement, bars, exponent, report
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


def measurement(records: int, asset: str, cpu: float, *, workers: int = 1, again: bool = False) -> Measurement:
    return Measurement(
        records=records,
        workers=workers,
        again=again,
        asset=asset,
        counts={"fetched": records, "created": 0 if again else records, "updated": 0, "skipped": 0, "errors": 0},
        client_cpu=cpu / 2,
        server_cpu=cpu / 2,
        wall=cpu,
        phase_wall=cpu / workers,
        rss_mb=150,
    )


@pytest.mark.parametrize(("large", "held"), [(1_100.0, True), (1_500.0, False)])
def test_growth_that_is_worse_than_linear_misses_its_bar(large: float, held: bool) -> None:
    found = [
        *(measurement(100_000, name, 50.0) for name in ("ics", DEDUPLICATION)),
        *(measurement(1_000_000, name, large / 2) for name in ("ics", DEDUPLICATION)),
        *(measurement(1_000_000, name, 1.0, again=True) for name in ("ics", DEDUPLICATION)),
    ]
    [growth] = [bar for bar in bars(found) if bar.text.startswith("exponent of CPU")]
    assert growth.measured == pytest.approx(exponent(100.0, large, 10.0))
    assert growth.held is held
    assert "| 1000000 | deduplication |" in report(found)


def test_workers_are_compared_with_one() -> None:
    found = [measurement(1_000, "ics", 40.0, workers=number) for number in (1, 2)]
    found += [measurement(1_000, "ics", 4.0, again=True), measurement(1_000, DEDUPLICATION, 9.0)]
    assert "| 2 | 20.0 s | 2.00 |" in report(found)
