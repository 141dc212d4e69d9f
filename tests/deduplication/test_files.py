"""`ingest dedup --input …`: people's own files, in any of the formats, without a database, with cells as they are."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any

import dotenv
import pytest

from benchmarks.deduplication.generate import Labelled, Spec, generate
from benchmarks.deduplication.records_file import write_csv
from ingestion_assets.events.deduplication.reading import read_table

Row = dict[str, Any]
_CLUB = {"venue_name": "Club Soda", "city": "Montréal", "timezone": "America/Toronto", "lat": 45.51, "lon": -73.56}
_NOWHERE = dict.fromkeys(_CLUB)
ROWS: list[Row] = [
    {"source": "hall", "source_id": "1", "title": "Rivière Noire", "start_at": "2026-03-07T20:00", **_CLUB},
    {
        "source": "agenda",
        "source_id": "x",
        "title": "COMPLET - RIVIERE NOIRE",
        "start_at": "2026-03-07",
        **_NOWHERE,
        "venue_name": "Club Soda",
        "city": "Montreal",
    },
    {
        "source": "agenda",
        "source_id": "y",
        "title": "Atelier de céramique",
        "start_at": "2026-03-08T13:00:00-05:00",
        **_NOWHERE,
        "venue_name": "Centre Laurier",
        "city": "Montréal",
        "timezone": "America/Toronto",
    },
]


@pytest.fixture
def dedup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The command, where no database can be reached and none may be started. Gives exit status, report and messages."""
    monkeypatch.setattr(dotenv, "load_dotenv", lambda *_: False)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("INGESTION_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(source: Path, *more: str) -> tuple[int, Row, str]:
        from ingestion_assets.cli import main

        arguments = ["dedup", "--input", str(source), "--output", str(tmp_path / "clusters.csv"), "--json", *more]
        monkeypatch.setattr(sys, "argv", ["ingest", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert not (tmp_path / "home").exists()
        return int(ended.value.code or 0), json.loads(out.splitlines()[-1]) if out else {}, err

    return run


def clusters(folder: Path) -> dict[tuple[str, str], str]:
    with (folder / "clusters.csv").open(encoding="utf-8", newline="") as stream:
        return {(row["source"], row["source_id"]): row["cluster_id"] for row in csv.DictReader(stream)}


def write(path: Path, rows: list[Row]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_every_format_gives_one_cluster_for_one_event(dedup: Callable[..., Any], tmp_path: Path, ending: str) -> None:
    status, report, _ = dedup(write(tmp_path / f"records.{ending}", ROWS))
    assert status == 0
    assert (report["fetched"], report["created"], report["errors"], report["clusters"]) == (3, 3, 0, 2)
    found = clusters(tmp_path)
    assert found["hall", "1"] == found["agenda", "x"] != found["agenda", "y"]
    with (tmp_path / "clusters.csv").open(encoding="utf-8") as stream:
        assert next(stream).strip() == "source,source_id,cluster_id,score"


def test_four_columns_and_dates_are_enough(dedup: Callable[..., Any], tmp_path: Path) -> None:
    rows = [
        {"source": source, "source_id": number, "title": title, "start_at": day}
        for source, number, title, day in (
            ("a", 1, "The Hollow Pines", "2026-03-07"),
            ("b", 1, "THE HOLLOW PINES", "2026-03-07"),
            ("b", 2, "The Hollow Pines", "2026-03-08"),
        )
    ]
    status, report, _ = dedup(write(tmp_path / "records.csv", rows))
    assert (status, report["errors"], report["records"]) == (0, 0, 3)
    found = clusters(tmp_path)
    assert found["b", "2"] not in (found["a", "1"], found["b", "1"])


def test_a_long_cell_is_read_and_the_limit_of_others_left_alone(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    long = [{**ROWS[0], "address": "x" * 200_000}]
    assert len(read_table(write(tmp_path / "records.csv", long)).records) == 1
    assert csv.field_size_limit() == before


def test_what_a_data_frame_writes_for_nothing_is_nothing(dedup: Callable[..., Any], tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    nan = float("nan")
    table = pa.table({
        "source": ["a", "b"],
        "source_id": [1, 2],
        "title": ["Rivière Noire", "Rivière Noire"],
        "start_at": pa.array([date(2026, 3, 7), date(2026, 3, 7)]),
        "venue_name": ["Club Soda", "Club Soda"],
        "city": pa.array([nan, nan]),
        "lat": pa.array([nan, 45.5]),
        "lon": pa.array([nan, nan]),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "records.parquet")
    status, report, _ = dedup(tmp_path / "records.parquet")
    assert (status, report["errors"], report["clusters"]) == (0, 0, 1)


def test_bad_rows_are_counted_named_and_left_out(dedup: Callable[..., Any], tmp_path: Path) -> None:
    bad = [
        {**ROWS[0], "source_id": "2", "title": ""},
        {**ROWS[0], "source_id": "3", "start_at": "next Friday"},
        {**ROWS[0], "source_id": "4", "timezone": "Montréal/Québec"},
        {**ROWS[0], "source_id": "5", "lat": "north"},
    ]
    status, report, messages = dedup(write(tmp_path / "records.jsonl", [*ROWS, *bad]))
    assert status == 0
    assert (report["fetched"], report["created"], report["errors"]) == (7, 3, 4)
    assert [(problem["row"], problem["column"]) for problem in report["problems"]] == [
        (4, "title"),
        (5, "start_at"),
        (6, "timezone"),
        (7, "lat"),
    ]
    assert "next Friday" in messages
    assert len(clusters(tmp_path)) == 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("records.csv", "source,title,start_at\na,b,2026-01-01\n", "source_id"),
        ("records.xlsx", "", ".csv"),
        ("records.parquet", "no parquet", "Parquet"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(
    dedup: Callable[..., Any], tmp_path: Path, name: str, content: str, said: str
) -> None:
    (tmp_path / name).write_text(content)
    status, _, messages = dedup(tmp_path / name)
    assert status != 0
    assert said in messages
    assert "Traceback" not in messages
    assert not (tmp_path / "clusters.csv").exists()


def test_ids_outlive_reruns_other_orders_and_edits_and_none_is_given_twice(
    dedup: Callable[..., Any], tmp_path: Path
) -> None:
    rows = generate(Spec(rows=2_000, seed=91))
    source, state = tmp_path / "records.csv", str(tmp_path / "state.jsonl")

    def run(changed: list[Any]) -> tuple[Row, dict[tuple[str, str], str]]:
        write_csv(changed, source)
        status, report, _ = dedup(source, "--state", state)
        assert status == 0
        return report, clusters(tmp_path)

    report, first = run(rows)
    assert (report["created"], report["skipped"]) == (len(rows), 0)

    report, again = run(rows)
    assert again == first
    assert (report["created"], report["updated"], report["skipped"]) == (0, 0, len(rows))

    mixed = list(rows)
    Random(1).shuffle(mixed)
    assert run(mixed)[1] == first

    later = edited(rows, 0.05, 7)
    report, after = run(later)
    assert report["updated"] == sum(one.record != other.record for one, other in zip(rows, later, strict=True))
    assert sum(after[key] == first[key] for key in first) >= 0.995 * len(first)

    # An id that has gone once never comes back for other records.
    gone = set(first.values()) - set(after.values())
    half = later[: len(later) // 2]
    fresh = run([*half, *generate(Spec(rows=500, seed=92))])[1]
    assert not gone & {fresh[key] for key in fresh if key not in first}
    assert not set(first.values()) & {fresh[key] for key in fresh if key not in first}


def test_a_damaged_state_is_not_overwritten(dedup: Callable[..., Any], tmp_path: Path) -> None:
    state = tmp_path / "state.jsonl"
    state.write_text("{}\n")
    status, _, messages = dedup(write(tmp_path / "records.jsonl", ROWS), "--state", str(state))
    assert status != 0
    assert "state.jsonl" in messages
    assert state.read_text() == "{}\n"


def edited(rows: list[Labelled], share: float, seed: int) -> list[Labelled]:
    """The same records with a share of them edited as sources do: a status, a typo mended, a start half an hour later."""
    chooser = Random(seed)
    result = []
    for row in rows:
        if chooser.random() < share:
            record = row.record
            style = chooser.randrange(4)
            if style == 0:
                record = replace(record, title=f"ANNULÉ - {record.title}")
            elif style == 1:
                record = replace(record, url=None, lat=None, lon=None)
            elif style == 2 and record.local_time and record.local_time.hour < 23:
                record = replace(
                    record,
                    local_time=(datetime.combine(record.local_date, record.local_time) + timedelta(minutes=30)).time(),
                )
            else:
                record = replace(record, title=f"{record.title} (mise à jour)", address=None)
            result.append(replace(row, record=record))
        else:
            result.append(row)
    return result


@pytest.mark.parametrize(
    "place",
    [
        {"city": "Montréal"},
        {"venue_name": "Club Soda"},
        {"venue_name": "Chez Nous, 12 rue Rachel, Montréal, QC H2J 1A1"},
        {"lat": 45.6, "lon": -73.4},
        {},  # nothing but the zone of the other rows
    ],
)
def test_utc_is_shown_in_the_zone_that_other_rows_name(place: Row, tmp_path: Path) -> None:
    known = [{**ROWS[0], "source_id": str(number)} for number in range(3)]
    row = {"source": "ics", "source_id": "z", "title": "Half Moon", "start_at": "2026-03-08T01:00:00Z", **place}
    *_, record = read_table(write(tmp_path / "records.jsonl", [*known, row])).records
    assert (record.zone, record.local_date, record.local_time) == ("America/Toronto", date(2026, 3, 7), time(20))
