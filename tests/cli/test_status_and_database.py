"""`ingest status`, `ingest env` and `ingest db`: what is there, and how other tools find it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from resources.postgres.database import Database
from resources.postgres.migrate import head_revision
from tests.cli.command import Command
from tests.fakes.feeds import CsvFeed
from tests.processes import ROOT


def test_status_of_an_empty_platform_names_what_is_off(ingest: Command) -> None:
    report = ingest("status", "--json").report
    assert report["imports"] == []
    assert report["rows"]["raw_events"] == 0
    assert report["sources"]["ticketmaster"] == ["TICKETMASTER_API_KEY"]
    assert report["sources"]["open_data_montreal"] == []


def test_status_shows_the_last_import_of_each_source_and_why_it_failed(ingest: Command, city: CsvFeed) -> None:
    ingest("run", "--source", "open_data_montreal", "--from", str(city.first), "--to", str(city.last), "--json")
    city.path.unlink()
    ingest("run", "--source", "open_data_montreal", "--from", str(city.first), "--to", str(city.last), "--json")
    done = ingest("status", "--json")
    [job] = done.report["imports"]
    assert (job["source"], job["status"], job["created"]) == ("open_data_montreal", "ERROR", 0)
    assert "cannot be read" in job["error"]
    assert done.report["rows"]["raw_events"] == 30
    people = ingest("status")
    assert people.status == 0
    assert "open_data_montreal" in people.out
    assert "cannot be read" in " ".join(people.out.split())


def test_status_shows_one_line_of_each_asset_of_all_study_collections(ingest: Command, database: Database) -> None:
    with database.transaction() as connection:
        for number, status in enumerate(["SUCCESS", "SUCCESS", "ERROR"]):
            for asset in ("documents", "document_analyses"):
                connection.execute(
                    "INSERT INTO import_jobs (source, status, run_id, attempt_token, finished_at)"
                    " VALUES (%s, %s, gen_random_uuid(), gen_random_uuid(), now())",
                    (f"{asset}:{number}", status),
                )
    imports = ingest("status", "--json").report["imports"]
    assert [(job["source"], job["status"]) for job in imports] == [
        ("document_analyses", "ERROR"),
        ("documents", "ERROR"),
    ]


def test_status_can_be_read_in_eighty_columns(
    ingest: Command, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("ICS_FEEDS", "[/x]=./club.ics")  # people's brackets are no markup
    with database.transaction() as connection:
        for source, status in (("deduplicated_events", "SUCCESS"), ("ics", "RUNNING")):
            connection.execute(
                "INSERT INTO import_jobs (source, status, run_id, attempt_token, finished_at, heartbeat_at)"
                " VALUES (%(source)s, %(status)s, gen_random_uuid(), gen_random_uuid(),"
                " CASE %(status)s WHEN 'SUCCESS' THEN now() END, now() - interval '90 s')",
                {"source": source, "status": status},
            )
    done = ingest("status")
    assert done.status == 0, done.err
    columns = ["name", "status", "fetched", "created", "updated", "skipped", "errors", "withdrawn", "ago"]
    assert columns in [line.split() for line in done.out.splitlines()]
    assert "\nics: silent for 9" in done.out
    assert "'[/x]'" in done.out


def test_status_masks_the_password_of_the_database(
    ingest: Command, platform_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = platform_environment["DATABASE_URL"]
    if "@/" not in url:
        pytest.skip("only the embedded server lets any password in")
    monkeypatch.setenv("DATABASE_URL", url.replace("@/", ":hunter2@/", 1))
    done = ingest("status", "--json")
    assert done.status == 0
    assert "***" in done.report["database"]
    assert "hunter2" not in done.out + done.err


def test_env_prints_what_dagsters_own_commands_need(ingest: Command, platform_environment: dict[str, str]) -> None:
    done = ingest("env")
    assert done.status == 0
    values = {}
    for line in done.out.splitlines():
        export, assignment = shlex.split(line)
        assert export == "export"
        name, _, value = assignment.partition("=")
        values[name] = value
    assert values["DATABASE_URL"] == platform_environment["DATABASE_URL"]
    assert values["DAGSTER_DATABASE_URL"] == platform_environment["DAGSTER_DATABASE_URL"]
    assert values["INGESTION_DAGSTER_STORAGE_URL"].startswith("postgresql+psycopg2://")
    assert "tcp_user_timeout=" in values["INGESTION_DAGSTER_STORAGE_URL"]
    assert {"DAGSTER_HOME", "INGESTION_HOME", "INGESTION_DAGSTER_DIR"} <= set(values)


@pytest.mark.parametrize(("given", "meant"), [("deploy/celery", ROOT / "deploy/celery"), ("", ROOT)])
def test_a_dagster_home_need_not_be_absolute(
    ingest: Command, monkeypatch: pytest.MonkeyPatch, given: str, meant: Path
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DAGSTER_HOME", given)
    assert f"export DAGSTER_HOME={meant}\n" in ingest("env").out
    assert ingest("status").status == 0


def test_db_url_prints_one_url(ingest: Command, platform_environment: dict[str, str]) -> None:
    assert ingest("db", "url").out.strip() == platform_environment["DATABASE_URL"]
    assert ingest("db", "url", "--dagster").out.strip() == platform_environment["DAGSTER_DATABASE_URL"]


def test_db_upgrade_says_from_where_to_where(
    ingest: Command, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    assert f"was upgraded from nothing to revision {head_revision()}." in ingest("db", "upgrade").out
    assert f"is at revision {head_revision()}, the newest one." in ingest("db", "upgrade").out


def test_a_newer_database_is_refused_with_a_sentence(
    ingest: Command, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_database.url)
    with fresh_database.transaction() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in (["db", "upgrade"], ["status"], ["run", "--source", "ics"]):
        done = ingest(*command)
        assert done.status == 1
        said = "ingest: the database is at revision '9999', which this version does not know"
        assert any(line.startswith(said) for line in done.err.splitlines())


def test_the_database_of_dagster_is_made_beside_the_platforms(
    ingest: Command, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resources.postgres.urls import database_name, with_database

    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.delenv("DAGSTER_DATABASE_URL")
    expected = with_database(empty_database_url, f"{database_name(empty_database_url)}_dagster")
    try:
        assert ingest("db", "url", "--dagster").out.strip() == expected
        assert Database(expected).fetch_all("SELECT 1 AS a") == [{"a": 1}]
    finally:
        with Database(empty_database_url).connect(autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database_name(expected)}"')  # type: ignore[arg-type]


def test_every_command_explains_itself(ingest: Command) -> None:
    import typer

    from ingestion_assets.cli.app import app

    command = typer.main.get_command(app)
    for name, verb in command.commands.items():  # type: ignore[attr-defined]
        assert verb.help or verb.short_help, name
        assert ingest(name, "--help").status == 0


@pytest.mark.parametrize("words", [("status",), ("dedup", "explain", "ics:1", "ics:2")], ids=" ".join)
def test_a_command_that_only_looks_asks_for_the_upgrade(
    ingest: Command, empty_database_url: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    done = ingest(*words)
    assert done.status == 1
    assert "ingest db upgrade" in done.err
    assert "Traceback" not in done.err


def test_dedup_explain_says_why_two_records_are_two_events(ingest: Command, city: CsvFeed, database: Database) -> None:
    ingest("run", "--source", "open_data_montreal", "--from", str(city.first), "--to", str(city.last), "--json")
    records = database.fetch_all("SELECT source || ':' || source_id AS key FROM raw_events ORDER BY week, 1 LIMIT 2")
    keys = [row["key"] for row in records]
    report = ingest("dedup", "explain", *keys, "--json").report
    assert ([report["a"], report["b"]], report["same_event"]) == (keys, False)
    people = ingest("dedup", "explain", *keys)
    assert people.status == 0, people.err
    assert "two events" in people.out
