"""What is written in the binary format of COPY is read back as the value that it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time

import pytest

from ingestion_assets.events.copy_rows import blocks, key_row
from ingestion_assets.events.model import Event, EventStatus, Moment, Precision, week_of
from tests.loading.imports import Importer, event

TORONTO = "America/Toronto"
STARTS = [
    Moment(date(2026, 11, 20), time(19, 30), TORONTO),
    Moment(date(2026, 11, 20), time(19, 30), "Asia/Kathmandu"),
    Moment(date(2026, 11, 20), time(23, 59, 59, 999_999), TORONTO),
    Moment(date(2026, 11, 1), time(1, 30), TORONTO),
    Moment(date(2027, 3, 14), time(2, 30), TORONTO),
    Moment(date(2000, 1, 1), time(0), "UTC"),
    Moment(date(1999, 12, 31), time(23, 59, 59, 1), "UTC"),
    Moment(date(1900, 1, 1), time(0), "Europe/Paris"),
    Moment(date(2200, 12, 31), time(12), "Pacific/Apia"),
    Moment(date(2026, 11, 20), None, TORONTO),
    Moment(date(1, 1, 1), None, TORONTO),
    Moment(date(9999, 12, 31), None, TORONTO),
    None,
]


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_a_start_comes_back_as_it_was(start: Moment | None, importer: Importer) -> None:
    importer([replace(event("a"), start=start)])
    row = importer.rows()["a"]
    assert row["precision"] == (Precision.TBA if start is None else start.precision).value
    found = row["week"], row["local_date"], row["start_local"], row["start_at"], row["timezone"]
    expected = (None,) * 5
    if start is not None:
        expected = week_of(start.date), start.date, start.local, start.utc, start.zone
    assert found == expected


def test_equal_starts_share_their_bytes_and_different_ones_do_not(importer: Importer) -> None:
    first = Moment(date(2026, 11, 20), time(19, 30), TORONTO)
    others = [replace(first, time=time(19, 31)), replace(first, zone="UTC"), replace(first, time=None)]
    importer([replace(event(str(n)), start=start) for n, start in enumerate([first, *others, first])])
    rows = importer.rows()
    expected = [start.local for start in (first, *others, first)]
    assert [rows[str(n)]["start_local"] for n in range(5)] == expected
    assert len(set(expected)) == 3
    assert rows["0"]["start_at"] != rows["2"]["start_at"]


def test_texts_of_any_length_come_back_as_they_were(importer: Importer) -> None:
    made: list[Event] = []
    statuses = [*EventStatus, *EventStatus]
    for n, length in enumerate((1, 2, 127, 128, 40_000, 99_000, 120_000)):
        made.append(replace(event(f"é{n}", title="Ω" * length, text="é\\\n\t" * length), status=statuses[n]))
    importer(made)
    rows = importer.rows()
    for one in made:
        row = rows[one.source_id]
        assert (row["title"], row["payload"], row["status"]) == (one.title, one.payload, one.status.value)
        assert row["event"]["title"] == one.title


def test_pieces_stay_near_the_size_that_the_driver_takes_whole() -> None:
    rows = [key_row(n, "x" * 3_000, bytes(16), None) for n in range(500)]
    pieces = list(blocks(rows))
    assert len(pieces) > 10
    assert max(map(len, pieces)) < 128 * 1024
    assert b"".join(pieces)[19:-2] == b"".join(rows)
    assert len(list(blocks([]))) == 1
