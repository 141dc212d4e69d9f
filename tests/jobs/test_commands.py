"""`ingest worker` and `ingest clean-stuck-imports`, called as people call them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
import typer
from typer.testing import CliRunner

from ingestion_assets import job_kinds as registry
from ingestion_assets.cli.app import app
from ingestion_assets.cli.jobs import duration
from ingestion_assets.ledger.async_jobs import JobKind, enqueue
from resources.postgres.database import Database


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("1.5h", timedelta(hours=1.5)),
        ("2d", timedelta(2)),
    ],
)
def test_durations_are_written_as_people_write_them(text: str, expected: timedelta) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1w", "1h30m"])
def test_other_durations_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write it like 90s, 30m, 1h or 2d"):
        duration(text)


@pytest.fixture
def ingest(platform_environment: dict[str, str]) -> Callable[..., str]:
    """Run a command; its standard output."""

    def run(*arguments: str, status: int = 0) -> str:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == status, result.output
        return result.stdout

    return run


def add_import(database: Database, *, stalled: str) -> int:
    with database.transaction() as connection:
        row = connection.execute(
            "INSERT INTO import_jobs (source, status, run_id, attempt_token, progress_at)"
            " VALUES ('ics', 'RUNNING', %s, %s, now() - %s::interval) RETURNING id",
            (uuid.uuid4().hex, uuid.uuid4(), stalled),
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_stuck_imports_are_listed_closed_and_then_gone(ingest: Callable[..., str], database: Database) -> None:
    job_id = add_import(database, stalled="2 h")
    assert f"would close import job {job_id} of ics" in ingest("clean-stuck-imports", "--dry-run")
    [row] = database.fetch_all("SELECT status FROM import_jobs")
    assert row["status"] == "RUNNING"
    report = json.loads(ingest("clean-stuck-imports", "--older-than", "1h", "--json"))
    assert [(item["job_id"], item["reason"]) for item in report["closed"]] == [(job_id, "run_gone")]
    assert ingest("clean-stuck-imports").strip() == "No import is stuck."


def test_a_worker_works_off_the_queue_and_ends_when_it_is_asked_to(
    ingest: Callable[..., str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = JobKind(name="answer", handler=lambda context: {"n": context.arguments["n"]})
    monkeypatch.setattr(registry, "PROVIDERS", [lambda: [kind]])
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the test's own handlers stay
    with database.transaction() as connection:
        enqueue(connection, kind, {"n": 1})
    ingest("worker", "--until-idle", "--kind", "answer")
    assert database.fetch_all("SELECT state, result FROM async_jobs") == [{"state": "completed", "result": {"n": 1}}]


def test_a_worker_of_an_unknown_kind_says_which_there_are(ingest: Callable[..., str]) -> None:
    result = CliRunner().invoke(app, ["worker", "--kind", "nonsense"])
    assert result.exit_code == 1
    assert "no job kind is called 'nonsense'" in str(result.exception)
