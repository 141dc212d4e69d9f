"""The same canaries through whole Dagster runs and the command line: event log, run storage, compute logs, output."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest

from ingestion_assets import failures
from ingestion_assets.events.raw_events import raw_events_key
from ingestion_assets.launch import materialize
from resources.postgres.database import Database
from tests.fakes._server import FakeService, VirtualClock
from tests.fakes.fetching import environment
from tests.pipeline.echo import MODES, echo, with_credentials
from tests.pipeline.importing import ALLOW, FIRST, LAST, definitions
from tests.pipeline.leaks import WORD, files_with_canaries, leaks
from tests.pipeline.services import SERVICES

PASSWORD = "db-canary-1f2e3d4c5b6a"
ONE_A_SOURCE = ("ticketmaster", "meetup", "eventbrite", "allevents", "lavitrine", "open_data_montreal as a file", "ics")


def _with_password(url: str) -> str:
    """The URL with a password, which a server that trusts its socket does not ask for."""
    head, _, tail = url.partition("://")
    user, _, rest = tail.partition("@")
    return f"{head}://{user.partition(':')[0]}:{PASSWORD}@{rest}"


MIXED = ("malformed records", "refusal with 200", "401", "429", "reset", "good records", "500")


@pytest.mark.parametrize(
    "modes",
    [
        pytest.param(dict(zip(ONE_A_SOURCE, MIXED, strict=True)), id="mixed"),
        *(pytest.param(dict.fromkeys(ONE_A_SOURCE, mode), marks=pytest.mark.soak, id=mode) for mode in MODES),
    ],
)
def test_no_run_shows_a_credential(
    modes: dict[str, str],
    database: Database,
    dagster_url: str,
    make_instance: Callable[[], dg.DagsterInstance],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(failures, "STEP_RETRIES", 0)  # a second try says the same and takes its time
    clock, instance = VirtualClock(), make_instance()
    with ExitStack() as stack:
        fakes = [_started(stack, name, mode, clock) for name, mode in modes.items()]
        values = {name: value for fake in fakes for name, value in with_credentials(fake).items()}
        stack.enter_context(environment({**ALLOW, **values, "DATABASE_URL": _with_password(database.url)}))
        defs = stack.enter_context(definitions(clock))
        keys = [raw_events_key(fake.name) for fake in fakes]
        outcome = materialize(defs, keys, first=FIRST, last=LAST, instance=instance)
        assert all(fake.requests for fake in fakes), "every source must have come as far as its service"
    assert WORD not in str(outcome)
    assert leaks(database) == []
    assert leaks(Database(dagster_url)) == []
    # Run storage and event log once more, as the UI reads them.
    assert WORD not in "".join(str(entry) for entry in instance.all_logs(outcome.run_id))
    assert WORD not in str(instance.get_run_by_id(outcome.run_id))
    assert files_with_canaries(tmp_path) == []
    assert WORD not in caplog.text
    assert WORD not in "".join(capfd.readouterr())


def _started(stack: ExitStack, name: str, mode: str, clock: VirtualClock) -> FakeService:
    fake = stack.enter_context(SERVICES[name].make(12, 2, None))
    fake.clock = clock
    return echo(fake, mode, with_credentials(fake))


def _ingest(arguments: Iterable[str], values: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-c", "from ingestion_assets.cli.app import main; main()", *arguments]
    with environment(values):
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("mode", ["malformed records", pytest.param("401", marks=pytest.mark.soak)])
def test_the_command_line_shows_no_credential(
    mode: str, platform_environment: dict[str, str], tmp_path: Path, dagster_url: str
) -> None:
    with SERVICES["ticketmaster"].make(12, 10, None) as fake:
        echo(fake, mode)
        url = _with_password(platform_environment["DATABASE_URL"])
        values = {**with_credentials(fake), "DATABASE_URL": url, "INGESTION_LOG_LEVEL": "DEBUG"}
        span = ("--from", FIRST.isoformat(), "--to", LAST.isoformat())
        done = _ingest(["run", "--source", "ticketmaster", *span, "--json"], values)
    report = json.loads(done.stdout.splitlines()[-1])
    if mode == "401":
        assert (report["status"], done.returncode) == ("ERROR", 1)
        assert "TICKETMASTER_API_KEY" in done.stderr, "the message must still say what to do"
    else:
        assert (report["status"], report["errors"] > 0) == ("SUCCESS", True), done.stderr
    assert WORD not in done.stdout + done.stderr
    assert leaks(Database(platform_environment["DATABASE_URL"])) == []
    assert leaks(Database(dagster_url)) == []
    assert files_with_canaries(tmp_path) == []


def test_a_database_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    values = {
        "INGESTION_HOME": str(tmp_path / "home"),
        "DATABASE_URL": f"postgresql://somebody:{PASSWORD}@127.0.0.1:1/ingestion",
        "INGESTION_DATABASE_PATIENCE_SECONDS": "1",
    }
    done = _ingest(["status", "--json"], values)
    assert done.returncode != 0
    assert "127.0.0.1" in done.stderr
    assert WORD not in done.stdout + done.stderr
    assert files_with_canaries(tmp_path) == []
