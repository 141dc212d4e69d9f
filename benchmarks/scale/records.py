"""Two years of events as seven sources would list them: one file a source, ordered by day.

    python -m benchmarks.scale.records '{"count": 100000, "sources": 7, "folder": "/tmp/records"}'

The calendar has the same length at every size, so ten times the records are ten times as many a day and place: the hard
way to grow for anything that compares records with their neighbours.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.deduplication.generate import Labelled

WEEKS = 104
FIRST = date(2024, 11, 18)
LAST = FIRST + timedelta(weeks=WEEKS - 1)
"""The Mondays of the first and the last week."""
PAGE_RECORDS = 200
SOURCES = 7
_WORDS = (
    "A long evening of music, words and images for people of every age, with an interval and a talk after it. "
    "Doors open half an hour before; bring a friend, leave the car at home. "
)


def write(folder: Path, count: int, sources: int = SOURCES) -> dict[str, Any]:
    """Write `<source>.ndjson` for each source; returns how many records each has, and how many events there are.

    With fewer `sources` (the largest ones) there are as many records, of more events: each is listed less often.
    """
    import orjson

    labelled = _labelled(count, sources)
    labelled.sort(key=lambda one: (one.record.local_date, one.record.source_id))
    records: Counter[str] = Counter()
    last_day = LAST + timedelta(days=6)
    size = 0
    with ExitStack() as stack:
        files: dict[str, Any] = {}
        for one in labelled:
            record = one.record
            if not FIRST <= record.local_date <= last_day:
                continue  # a slip of the clock at an end of the calendar
            lines = files.get(record.source)
            if lines is None:
                lines = stack.enter_context((folder / f"{record.source}.ndjson").open("wb"))
                files[record.source] = lines
            fields = {
                name: getattr(record, name)
                for name in (
                    *("source_id", "title", "lang", "local_date", "local_time", "end_date", "end_time", "zone"),
                    *("venue_name", "address", "city", "lat", "lon", "url", "organizer", "performers"),
                )
            }
            fields["description"] = _WORDS * (2 + records[record.source] % 6)
            size += lines.write(orjson.dumps(fields) + b"\n")
            records[record.source] += 1
    total = records.total()
    return {"records": dict(records), "events": len({one.event for one in labelled}), "bytes": round(size / total)}


def _labelled(count: int, sources: int) -> list[Labelled]:
    from benchmarks.deduplication.generate import Spec, generate

    rows = count
    while True:
        made = generate(Spec(rows=rows, seed=7, days=WEEKS * 7, first_day=FIRST))
        largest = [name for name, _ in Counter(one.record.source for one in made).most_common(sources)]
        found = [one for one in made if one.record.source in largest]
        if len(found) >= count or len(largest) == SOURCES:
            return found[:count] if len(largest) < SOURCES else found
        rows = round(rows * count / len(found) * 1.05)


def lines(path: Path, first: date, end: date) -> Iterator[dict[str, Any]]:
    """The records of a file whose day is from `first` to the day before `end`."""
    import orjson

    begin, stop = first.isoformat(), end.isoformat()
    with path.open("rb") as file:
        for line in file:
            record = orjson.loads(line)
            if record["local_date"] >= stop:
                return
            if record["local_date"] >= begin:
                yield record


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    print(json.dumps(write(Path(task["folder"]), task["count"], task.get("sources", SOURCES))))
