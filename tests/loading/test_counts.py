"""What each record counts as: fetched = created + updated + skipped + errors, by week and by run, whatever comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, time, timedelta
from time import monotonic
from typing import Any

import pytest

from ingestion_assets.counts import Counts
from ingestion_assets.events import loading
from ingestion_assets.events.hashing import Canonicaliser, reading_seed
from ingestion_assets.events.model import Moment
from ingestion_assets.events.sources import SOURCE_NAMES, source_class
from ingestion_assets.ledger.import_jobs import AttemptSupersededError
from resources.errors import TransientError
from resources.postgres.database import DatabaseUnavailableError
from tests.ledger.invariants import assert_books_balance
from tests.loading.imports import W1, W2, W3, Importer, counts, event, page, rejected

BATCH_SIZES = (1, 2, 2000)

# The same feed before and after, and what the second import counts: created, updated, skipped, errors.
TABLE: dict[str, tuple[list[Any], list[Any], tuple[int, int, int, int]]] = {
    "nothing comes": ([], [], (0, 0, 0, 0)),
    "new": ([], [event("a"), event("b", W2)], (2, 0, 0, 0)),
    "unchanged": ([event("a"), event("b")], [event("a"), event("b")], (0, 0, 2, 0)),
    "in another order": ([event("a"), event("b", W2)], [event("b", W2), event("a")], (0, 0, 2, 0)),
    "changed": ([event("a", text="x")], [event("a", text="y")], (0, 1, 0, 0)),
    "new, changed and unchanged": (
        [event("a", text="x"), event("b")],
        [event("a", text="y"), event("b"), event("c")],
        (1, 1, 1, 0),
    ),
    "a key more": ([event("a")], [event("a", more=None)], (0, 1, 0, 0)),
    "moved to another week": ([event("a", W1)], [event("a", W3)], (0, 1, 0, 0)),
    "dated at last": ([event("a", None)], [event("a", W2)], (0, 1, 0, 0)),
    "its date is withdrawn": ([event("a", W2)], [event("a", None)], (0, 1, 0, 0)),
    "undated and unchanged": ([event("a", None)], [event("a", None)], (0, 0, 1, 0)),
    "twice, new": ([], [event("a"), event("a")], (1, 0, 1, 0)),
    "twice, unchanged": ([event("a")], [event("a"), event("a")], (0, 0, 2, 0)),
    "three times, changed": ([event("a")], [event("a", n=1), event("a", n=1), event("a", n=1)], (0, 1, 2, 0)),
    "twice and new, with two texts": ([], [event("a", n=1), event("a", n=2)], (1, 0, 1, 0)),
    "twice, the second time changed": ([event("a")], [event("a"), event("b"), event("a", n=1)], (1, 0, 2, 0)),
    "twice, the first time changed": ([event("a")], [event("a", n=1), event("b"), event("a")], (1, 1, 1, 0)),
    "rejected": ([], [rejected("a"), rejected(None)], (0, 0, 0, 2)),
    "rejected beside good ones": ([event("a")], [rejected("x"), event("a"), event("b"), rejected("y")], (1, 0, 1, 2)),
    "rejected and good under one id": ([], [rejected("a"), event("a")], (1, 0, 0, 1)),
    "known, and rejected now": ([event("a")], [rejected("a")], (0, 0, 0, 1)),
    "known, and rejected before it comes": ([event("a")], [rejected("a"), event("a")], (0, 0, 1, 1)),
    "known, and rejected before it comes changed": ([event("a")], [rejected("a"), event("a", n=1)], (0, 1, 0, 1)),
    "known, and rejected between two texts": (
        [event("a")],
        [event("a", n=1), rejected("a"), event("a", n=2)],
        (0, 1, 1, 1),
    ),
}


@pytest.mark.parametrize("batch", BATCH_SIZES)
@pytest.mark.parametrize("case", TABLE)
def test_the_second_import_counts(case: str, batch: int, importer: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after, expected = TABLE[case]
    monkeypatch.setattr(loading, "BATCH_RECORDS", batch)
    importer(before)
    result = importer(*([record] for record in after))
    assert counts(result) == expected
    assert result.counts.fetched == len(after)
    assert sum((week for week in result.by_week.values()), Counts()).fetched == len(after)
    assert result.withdrawal.withdrawn == 0


@pytest.mark.parametrize("batch", BATCH_SIZES)
def test_of_records_with_one_id_the_first_holds_and_a_repeated_pass_changes_nothing(
    batch: int, importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches apart each of them was written in turn, by every pass, and every pass counted updates."""
    monkeypatch.setattr(loading, "BATCH_RECORDS", batch)
    records = [event("a", n=1), event("b"), event("a", W2, n=2), event("c"), event("a", n=3), rejected("a")]
    assert counts(importer(records)) == (3, 0, 2, 1)
    first = importer.rows()
    assert first["a"]["payload"]["n"] == 1
    assert counts(importer(records)) == (0, 0, 5, 1)
    assert importer.rows() == first


@pytest.mark.parametrize("batch", BATCH_SIZES)
def test_a_retry_of_a_fetch_that_repeats_itself_counts_each_record_once(
    batch: int, importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "BATCH_RECORDS", batch)
    importer([event("b")])
    records = [rejected("a"), event("a", n=1), event("b", n=1), event("a", n=2), event("b", n=2), event("c")]

    def broken() -> Any:
        yield page(*records[:-1])
        raise TransientError("the service is away")

    for _ in range(2):
        with pytest.raises(TransientError):
            _stream(importer, broken(), run_id="r")
    assert counts(importer(records, run_id="r")) == (2, 1, 2, 1)
    assert [importer.rows()[key]["payload"]["n"] for key in "ab"] == [1, 1]


def test_records_are_counted_by_the_week_of_their_local_start(importer: Importer) -> None:
    late_sunday = replace(event("a"), start=Moment(date(2026, 11, 22), time(23, 59), "America/Vancouver"))
    result = importer([late_sunday, event("b", W2), event("c", W2 + timedelta(days=6)), event("d", W3)])
    assert {week: c.created for week, c in result.by_week.items()} == {W1: 1, W2: 2, W3: 1}
    assert {key: row["week"] for key, row in importer.rows().items()} == {"a": W1, "b": W2, "c": W2, "d": W3}


def test_what_has_no_week_in_the_run_is_counted_by_its_first(importer: Importer) -> None:
    """Undated events, rejected records without a day, and events that a source should not have sent."""
    result = importer(
        [event("undated", None), rejected("r"), rejected("s", W2), rejected("t", W1 - timedelta(days=30))],
        [event("outside", W3 + timedelta(days=30)), event("outside", W3 + timedelta(days=30))],
    )
    assert result.by_week == {W1: Counts(created=2, skipped=1, errors=2), W2: Counts(errors=1)}
    assert result.undated == 1
    assert importer.rows()["undated"]["week"] is None
    assert importer.rows()["outside"]["week"] == date(2026, 12, 28)


def test_a_moved_event_is_counted_by_its_new_week(importer: Importer) -> None:
    importer([event("a", W1)])
    result = importer([event("a", W3)])
    assert result.by_week == {W3: Counts(updated=1)}


def test_a_volatile_field_is_no_change(importer: Importer) -> None:
    importer.volatile = ("views", "images.*.token", "meta.request_id")
    images = [{"url": "x", "token": 1}, {"url": "y", "token": 2}]
    importer([event("a", views=1, images=images, meta={"request_id": "q", "kind": "k"})])
    images = [{"url": "x", "token": 8}, {"url": "y"}]
    result = importer([event("a", views=2, images=images, meta={"request_id": "r", "kind": "k"})])
    assert counts(result) == (0, 0, 1, 0)
    assert importer.rows()["a"]["payload"]["views"] == 1
    result = importer([event("a", views=3, images=images, meta={"request_id": "r", "kind": "other"})])
    assert counts(result) == (0, 1, 0, 0)
    assert importer.rows()["a"]["payload"]["views"] == 3


def test_a_new_version_of_the_parser_reads_every_record_anew_once(importer: Importer) -> None:
    importer([event("a"), event("b")])
    importer.version = 2
    assert counts(importer([event("a"), event("b")])) == (0, 2, 0, 0)
    assert counts(importer([event("a"), event("b")])) == (0, 0, 2, 0)


def test_a_setting_by_which_payloads_are_read_differently_reads_every_record_anew_once(importer: Importer) -> None:
    """A wrong ALLEVENTS_TIMEZONE used to stay in every start for ever: the payload, and so its hash, was the same."""
    from ingestion_assets.events.sources.allevents import AllEventsSettings, AllEventsSource

    said = {"event_id": "1", "eventname": "Concert", "start_time": 1795392000}

    def imported(zone: str) -> tuple[int, int, int, int]:
        settings = AllEventsSettings(timezone=zone)
        importer.seed = reading_seed(settings, AllEventsSource.reading_settings, zone="America/Toronto")
        read = AllEventsSource(settings)._read
        return counts(importer([read(said)]))

    assert imported("America/Vancouver") == (1, 0, 0, 0)
    assert imported("America/Toronto") == (0, 1, 0, 0)
    assert importer.rows()["1"]["timezone"] == "America/Toronto"
    assert imported("America/Toronto") == (0, 0, 1, 0)


def test_what_was_stored_with_default_settings_stays_as_it_was() -> None:
    """Otherwise the first import after an upgrade would rewrite everything."""
    for name in SOURCE_NAMES:
        source = source_class(name)
        settings = source.settings_class.model_construct()
        assert reading_seed(settings, source.reading_settings, zone="America/Toronto") == 0
    assert (
        Canonicaliser(()).digest(b"{}")
        == Canonicaliser((), seed=0).digest(b"{}")
        == bytes.fromhex("dc7048f8f8747f561349cde127705c16")
    )


@pytest.mark.parametrize(
    ("source", "setting", "value"),
    [("allevents", "timezone", "America/Vancouver"), ("ics", "default_timezone", "UTC"), ("lavitrine", "lang", "en")],
)
def test_settings_by_which_payloads_are_read_differently_have_seeds_of_their_own(
    source: str, setting: str, value: str
) -> None:
    kind, names = source_class(source).settings_class, source_class(source).reading_settings
    changed = reading_seed(kind.model_construct(**{setting: value}), names, zone="America/Toronto")
    elsewhere = reading_seed(kind.model_construct(), names, zone="Europe/Paris")
    assert len({0, changed, elsewhere}) == 3


def test_seeds_are_the_ones_that_stored_hashes_were_made_with() -> None:
    """Another seed would rewrite everything that was stored with these settings."""
    from ingestion_assets.events.sources.ics.settings import IcsSettings

    read_in = IcsSettings.model_construct(default_timezone="UTC")
    assert reading_seed(read_in, ("default_timezone",), zone="America/Toronto") == 11_002_131_691_753_911_883
    assert reading_seed(read_in, ("default_timezone",), zone="Europe/Paris") == 10_143_226_908_502_435_029


def test_sources_do_not_see_each_other(importer: Importer) -> None:
    other = Importer(importer.database, source="other")
    importer([event("a")])
    assert counts(other([event("a")])) == (1, 0, 0, 0)
    assert counts(importer([event("a")])) == (0, 0, 1, 0)


def test_rejected_records_are_kept_with_reason_and_payload(importer: Importer) -> None:
    result = importer([rejected("x", W2, payload={"id": "x", "name": ""})])
    assert result.counts.by_reason == {"missing_title": 1}
    [row] = importer.rejections()
    assert row == {
        "reason": "missing_title",
        "source_id": "x",
        "detail": "the record has no title",
        "payload": {"id": "x", "name": ""},
        "week": W2,
    }


def test_what_is_stored_is_what_the_event_says(importer: Importer) -> None:
    importer([replace(event("a", W2, title="Fête d'été"), url="https://example.org/é", categories=("musique",))])
    row = importer.rows()["a"]
    assert (row["title"], row["precision"], row["status"], row["timezone"]) == (
        "Fête d'été",
        "datetime",
        "scheduled",
        "America/Toronto",
    )
    assert row["start_local"].isoformat() == "2026-11-23T20:00:00"
    assert row["start_at"].isoformat() == "2026-11-24T01:00:00+00:00"
    assert row["event"]["url"] == "https://example.org/é"
    assert row["event"]["categories"] == ["musique"]
    assert row["payload"] == {"id": "a", "day": "2026-11-23"}


def test_a_fetch_that_breaks_keeps_what_came_before_and_its_retry_finishes_the_rest(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "BATCH_RECORDS", 2)
    importer([event("a"), event("b"), event("c")])

    def broken() -> Any:
        yield page(event("a", n=1), event("b"))
        yield page(event("d"), event("e"), rejected("x"))
        raise TransientError("the service is away")

    with pytest.raises(TransientError):
        _stream(importer, broken(), run_id="r")
    [row] = importer.database.fetch_all("SELECT * FROM import_jobs WHERE run_id = 'r'")
    assert (row["status"], row["nb_created"], row["nb_updated"], row["nb_skipped"]) == ("ERROR", 2, 1, 1)

    whole = [event("a", n=1), event("b"), event("d"), event("e"), rejected("x"), event("c", n=1), event("f")]
    result = importer(whole, run_id="r")
    assert counts(result) == (3, 2, 1, 1)
    assert result.counts.fetched == len(whole)


def test_what_was_fetched_before_a_fault_is_stored_however_little_it_is(importer: Importer) -> None:
    """A service that fails at its sixteenth page used to be asked for the first fifteen for ever."""

    def broken() -> Any:
        for number in range(15):
            yield page(*(event(f"{number}-{n}") for n in range(100)), rejected())
        raise TransientError("the quota is used up", retry_after=3600)

    for run_id, expected in (("a", (1500, 0, 0, 15)), ("b", (0, 0, 1500, 15)), ("b", (0, 0, 1500, 15))):
        with pytest.raises(TransientError, match="quota"):
            _stream(importer, broken(), run_id=run_id)
        [row] = importer.database.fetch_all("SELECT * FROM import_jobs WHERE run_id = %(run)s", {"run": run_id})
        assert tuple(row[f"nb_{name}"] for name in ("created", "updated", "skipped", "errors")) == expected
        assert (row["status"], row["error_text"]) == ("ERROR", "the quota is used up")
        assert_books_balance(importer.database)
    result = importer([event(f"0-{n}") for n in range(100)], [event("new")], run_id="a")
    assert counts(result) == (1501, 0, 0, 0), "created by the first attempt of the run, and not again"


@pytest.mark.parametrize("error", [DatabaseUnavailableError("away"), AttemptSupersededError("taken over")])
def test_an_error_of_the_database_is_followed_by_no_commit(error: Exception, importer: Importer) -> None:
    def broken() -> Any:
        yield page(event("a"))
        raise error

    with pytest.raises(type(error)):
        _stream(importer, broken(), run_id="r")
    assert importer.rows() == {}


@pytest.mark.parametrize(
    ("seconds", "commits"), [(1.0, 1), (10.0, 2), (loading.COMMIT_EVERY, 6)], ids=["fast", "slow", "very slow"]
)
def test_a_slow_source_is_committed_before_its_batch_is_full(seconds: float, commits: int, importer: Importer) -> None:
    """Closing the import is the last commit."""
    now = 0.0

    def slow() -> Any:
        nonlocal now
        for number in range(6):
            now += seconds
            yield page(event(f"e{number}")) if number % 2 else page()

    _stream(importer, slow(), run_id="r", clock=lambda: now)
    [row] = importer.database.fetch_all("SELECT * FROM import_jobs")
    assert (row["nb_created"], row["status"]) == (3, "SUCCESS")
    assert row["pages"] == commits + 1


def _stream(importer: Importer, pages: Any, *, run_id: str, clock: Callable[[], float] = monotonic) -> None:
    from ingestion_assets.ledger.import_jobs import ImportJob

    with ImportJob(
        importer.database, source=importer.source, run_id=run_id, partition_start=W1, partition_end=W3, wait=0
    ) as job:
        loading.load_pages(pages, job, volatile_paths=(), record_version=1, weeks=(W1, W3), today=W1, clock=clock)


def test_the_retry_of_a_run_that_had_succeeded_counts_the_same(importer: Importer) -> None:
    """A step may be tried again for something that came after its import."""
    importer([event("a"), event("b")])
    records = [event("a", n=1), event("b"), event("c"), event("c")]
    first = importer(records, run_id="r")
    assert counts(importer(records, run_id="r")) == counts(first) == (1, 1, 2, 0)


def test_warnings_of_a_fetch_are_kept_but_not_without_end(importer: Importer) -> None:
    from ingestion_assets.events.model import FetchWarning, Page

    many = [FetchWarning("odd", f"number {n}\x00") for n in range(loading.MAX_WARNINGS + 50)]
    result = importer(Page(records=(), warnings=many))
    assert len(result.warnings) == loading.MAX_WARNINGS + 50
    [row] = importer.database.fetch_all("SELECT warnings FROM import_jobs")
    assert len(row["warnings"]) == loading.MAX_WARNINGS
    assert row["warnings"][0] == {"code": "odd", "detail": "number 0␀"}


def test_progress_is_told_after_every_page(importer: Importer) -> None:
    from ingestion_assets.ledger.import_jobs import ImportJob

    told: list[tuple[int, int]] = []
    with ImportJob(importer.database, source="feed", run_id="r", partition_start=W1, partition_end=W3) as job:
        loading.load_pages(
            [page(event("a"), event("b")), page(), page(rejected())],
            job,
            volatile_paths=(),
            record_version=1,
            weeks=(W1, W3),
            today=W1,
            progress=lambda pages, records: told.append((pages, records)),
        )
    assert told == [(1, 2), (2, 2), (3, 3)]
