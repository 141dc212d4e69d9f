"""`ingest run`: one JSON line that programs read, an exit status that CI gates on, sentences for people."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ingestion_assets.events.sources import SOURCE_NAMES
from resources.postgres.database import Database
from tests.cli.command import Command, Done
from tests.fakes.feeds import CalendarFeed, CsvFeed

PROMISED = {
    *("source", "status", "fetched", "created", "updated", "skipped", "errors", "withdrawn"),
    *("run_id", "partitions", "seconds"),
}
EXTRA = {"from", "to", "error"}


def _weeks(feed: CsvFeed | CalendarFeed) -> list[str]:
    return ["--from", str(feed.first), "--to", str(feed.last + timedelta(days=6))]


def _import(ingest: Command, feed: CsvFeed, *extra: str) -> Done:
    return ingest("run", "--source", "open_data_montreal", *_weeks(feed), "--json", *extra)


def test_the_last_line_is_one_json_object_with_the_promised_keys(ingest: Command, city: CsvFeed) -> None:
    done = _import(ingest, city)
    assert done.status == 0, done.err
    report = done.report
    assert set(report) - EXTRA == PROMISED
    assert len(done.out.splitlines()) == 1
    del report["run_id"]
    assert report.pop("seconds") > 0
    assert report == {
        "source": "open_data_montreal",
        "status": "SUCCESS",
        "fetched": 30,
        "created": 30,
        "updated": 0,
        "skipped": 0,
        "errors": 0,
        "withdrawn": 0,
        "partitions": 3,
        "from": str(city.first),
        "to": str(city.last),
    }


def test_the_run_is_dagsters_and_shows_there(ingest: Command, city: CsvFeed, dagster_url: str) -> None:
    report = _import(ingest, city).report
    [row] = Database(dagster_url).fetch_all("SELECT run_id, status, run_body FROM runs")
    assert (row["run_id"], row["status"]) == (report["run_id"], "SUCCESS")
    assert '"ingestion/launched_by": "ingest"' in row["run_body"]


def test_a_second_run_skips_and_counts_withdrawals(ingest: Command, city: CsvFeed) -> None:
    _import(ingest, city)
    report = _import(ingest, city).report
    assert (report["fetched"], report["created"], report["updated"], report["skipped"]) == (30, 0, 0, 30)
    city.numbers = range(28)
    city.write()
    assert _import(ingest, city, "--accept-withdrawals").report["withdrawn"] == 2


def test_one_week_is_one_partition(ingest: Command, city: CsvFeed) -> None:
    day = str(city.first + timedelta(days=9))
    report = ingest("run", "--source", "open_data_montreal", "--from", day, "--to", day, "--json").report
    assert (report["partitions"], report["fetched"]) == (1, 9)
    assert report["from"] == report["to"] == str(city.first + timedelta(days=7))


def test_downstream_follows_in_the_same_run(
    ingest: Command, city: CsvFeed, calendar: CalendarFeed, database: Database
) -> None:
    assert ingest("run", "--source", "ics", *_weeks(calendar), "--json").status == 0
    done = _import(ingest, city, "--downstream")
    assert done.status == 0, done.err
    rows = database.fetch_all("SELECT source, nb_created AS n, run_id FROM import_jobs ORDER BY id")
    assert [(row["source"], row["n"]) for row in rows] == [
        ("ics", 10),
        ("open_data_montreal", 30),
        ("deduplicated_events", 30),
        ("tag_enrichments", 30),
    ]
    assert len({row["run_id"] for row in rows[1:]}) == 1


def test_an_asset_can_be_materialized_by_its_name(ingest: Command, city: CsvFeed) -> None:
    _import(ingest, city)
    report = ingest("run", "--asset", "deduplicated_events", *_weeks(city), "--json").report
    assert (report["source"], report["status"], report["created"]) == ("deduplicated_events", "SUCCESS", 30)


def test_without_json_people_get_a_table(ingest: Command, city: CsvFeed) -> None:
    done = ingest("run", "--source", "open_data_montreal", *_weeks(city))
    assert done.status == 0
    assert "open_data_montreal: SUCCESS" in done.out
    assert "fetched" in done.out


def test_a_source_that_is_off_ends_with_a_sentence_and_status_1(ingest: Command) -> None:
    done = ingest("run", "--source", "ticketmaster", "--json")
    assert done.status == 1
    assert done.report["status"] == "ERROR"
    assert done.report["error"].startswith("source ticketmaster is not enabled: set TICKETMASTER_API_KEY")
    assert (done.report["fetched"], done.report["created"]) == (0, 0)
    assert "TICKETMASTER_API_KEY" in done.err
    assert "Traceback" not in done.err


def test_what_went_wrong_in_an_import_that_went_well_is_said(
    ingest: Command, calendar: CalendarFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    untitled = calendar.path.with_name("untitled.ics")
    event = f"BEGIN:VEVENT\nUID:u\nDTSTART;VALUE=DATE:{calendar.first:%Y%m%d}\nEND:VEVENT"
    untitled.write_text(f"BEGIN:VCALENDAR\n{event}\nEND:VCALENDAR\n", encoding="utf-8")
    monkeypatch.setenv("ICS_FEEDS", f"a={calendar.path},b={untitled},gone={calendar.path}.none")
    done = ingest("run", "--source", "ics", *_weeks(calendar), "--json")
    assert (done.status, done.report["status"], done.report["errors"]) == (0, "SUCCESS", 1)
    assert "! feed_failed: feed 'gone': the file of feed 'gone' cannot be read: No such file or directory" in done.err
    assert "! incomplete: feeds that could not be read: gone" in done.err
    assert "! refused: 1 missing_title, for example: the event has no SUMMARY (b:u)" in done.err


def test_a_file_that_is_not_there_is_named(ingest: Command, city: CsvFeed) -> None:
    city.path.unlink()
    done = _import(ingest, city)
    assert done.status == 1
    assert "OPEN_DATA_MONTREAL_CSV names" in done.report["error"]
    assert "cannot be read" in done.report["error"]


def test_a_failed_check_of_severity_error_is_status_1_although_it_blocks_nothing(
    ingest: Command, city: CsvFeed
) -> None:
    _import(ingest, city)
    city.numbers = range(12)
    city.write()
    done = _import(ingest, city)
    assert done.status == 1
    assert (done.report["status"], done.report["fetched"], done.report["withdrawn"]) == ("ERROR", 12, 0)
    assert "withdrawal_guard: " in done.report["error"]


def test_a_failed_blocking_check_is_status_1_and_names_itself(
    ingest: Command, city: CsvFeed, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_database.url)
    with fresh_database.transaction() as connection:
        connection.execute(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.first_job := 0; RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER spoil BEFORE INSERT ON raw_events FOR EACH ROW EXECUTE FUNCTION spoil()")
    done = _import(ingest, city)
    assert done.status == 1
    assert done.report["status"] == "ERROR"
    assert "counts_reconcile" in done.err
    assert "the ledger says 30, the tables 0" in done.err


USAGE: dict[str, tuple[list[str], str]] = {
    "neither source nor asset": ([], "name one --source or one --asset"),
    "both": (["--source", "ics", "--asset", "tag_enrichments"], "name one --source or one --asset"),
    "an unknown source": (["--source", "facebook"], "no source is called 'facebook'"),
    "an unknown asset": (["--asset", "raw_events"], "no asset is called 'raw_events'"),
    "no date": (["--source", "ics", "--from", "soon"], "does not match the format"),
    "a day that does not exist": (["--source", "ics", "--from", "2026-02-30"], "does not match the format"),
    "an end before its beginning": (["--source", "ics", "--from", "2026-11-30", "--to", "2026-11-01"], "lies before"),
    "an end before this week": (["--source", "ics", "--to", "2020-02-03"], "this week: name --from as well"),
}


@pytest.mark.parametrize("case", USAGE)
def test_a_mistake_in_the_arguments_is_explained(case: str, ingest: Command) -> None:
    arguments, explanation = USAGE[case]
    done = ingest("run", *arguments, "--json")
    assert done.status == 2
    assert explanation in _flat(done.err)
    assert done.out == ""
    if case == "an unknown source":
        assert all(name in _flat(done.err) for name in SOURCE_NAMES)


def _flat(text: str) -> str:
    """Without the frame that errors of usage are printed in."""
    return " ".join(word for word in text.replace("│", " ").split() if word)


@pytest.mark.parametrize("days", [("2019-12-02", "2019-12-29"), ("2026-11-16", "2099-01-01")])
def test_weeks_that_are_no_partitions_are_a_sentence(days: tuple[str, str], ingest: Command) -> None:
    done = ingest("run", "--source", "ics", "--from", days[0], "--to", days[1], "--json")
    assert done.status == 1
    assert done.err.startswith("ingest: the week of ")
    assert "INGESTION_HORIZON_WEEKS" in done.err


SETUP: dict[str, tuple[dict[str, str], str]] = {
    "a database that does not answer": (
        {"DATABASE_URL": "postgresql://someone:hunter2@127.0.0.1:1/nothing"},
        "ingest: PostgreSQL does not answer (",
    ),
    "another database system": (
        {"DATABASE_URL": "mysql://someone:hunter2@127.0.0.1/nothing"},
        "ingest: not the URL of a PostgreSQL database",
    ),
    "an unknown time zone": (
        {"INGESTION_TIMEZONE": "Mars/Base"},
        "INGESTION_TIMEZONE='Mars/Base' is no IANA time zone",
    ),
    "a start that is no Monday": (
        {"INGESTION_START_DATE": "2026-11-18"},
        "INGESTION_START_DATE=2026-11-18 is a Wednesday",
    ),
}


@pytest.mark.parametrize("case", SETUP)
def test_a_setting_that_cannot_work_is_a_sentence_without_secrets(
    case: str, ingest: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, sentence = SETUP[case]
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    done = ingest("run", "--source", "ics", "--json")
    assert done.status == 1
    assert sentence in done.err
    assert "Traceback" not in done.err
    assert "hunter2" not in done.err + done.out


def test_what_went_wrong_in_the_feed_is_no_failure_of_the_command(ingest: Command, city: CsvFeed) -> None:
    with city.path.open("a", encoding="utf-8") as stream:
        stream.write("Sans date,https://montreal.ca/evenements/x-1,,jamais,,,,,,,,,,,,\n")
    done = _import(ingest, city)
    assert done.status == 0
    assert (done.report["fetched"], done.report["errors"], done.report["status"]) == (31, 1, "SUCCESS")


def test_an_interrupted_command_leaves_a_closed_ledger(
    ingest: Command, city: CsvFeed, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingestion_assets.events.sources.open_data_montreal import OpenDataMontrealSource

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(OpenDataMontrealSource, "fetch", interrupted)
    assert _import(ingest, city).status != 0
    [row] = database.fetch_all("SELECT status, error_code FROM import_jobs")
    assert row == {"status": "ERROR", "error_code": "cancelled"}
