"""Processes that live and die together: the supervisor, `ingest api`, and the whole of `ingest dev`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest

from ingestion_assets.cli import dev as dev_module
from ingestion_assets.cli.supervisor import ChildDiedError, Supervisor, free_port, wait_for_http
from ingestion_assets.ledger.async_jobs import enqueue
from ingestion_assets.ledger.users import ensure_user
from resources.postgres.database import Database
from tests.cli.command import Command

INGEST = [sys.executable, "-m", "ingestion_assets.cli"]


def until(condition: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return value


def test_a_child_that_asks_to_be_started_afresh_is_and_another_that_ends_is_an_error(tmp_path: Path) -> None:
    count = tmp_path / "starts"
    script = (
        f"import sys; open({str(count)!r}, 'a').write('x'); sys.exit(75 if len(open({str(count)!r}).read()) < 3 else 1)"
    )
    with Supervisor(tmp_path) as supervisor:
        supervisor.start("child", [sys.executable, "-c", script], again={75})

        with pytest.raises(ChildDiedError, match="child ended with status 1"):
            until(supervisor.check, "the child was not noticed")
    assert count.read_text() == "xxx"


def test_a_child_gets_the_environment_that_it_is_given_and_dies_with_the_supervisor(tmp_path: Path) -> None:
    script = "import os, time; print(os.environ['GIVEN'], os.getpid(), flush=True); time.sleep(60)"
    log = tmp_path / "child.log"
    with Supervisor(tmp_path) as supervisor:
        supervisor.start("child", [sys.executable, "-c", script], environment={"GIVEN": "this"})
        given, pid = until(lambda: log.read_text().split(), "the child said nothing")
    assert given == "this"
    assert not psutil.pid_exists(int(pid))


@pytest.fixture
def after_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: Database) -> Path:
    """A home in which the demonstration was run; `database` is the user's own."""
    (tmp_path / "demo").mkdir()
    monkeypatch.setenv("INGESTION_HOME", str(tmp_path))
    monkeypatch.setattr(dev_module, "platform", lambda _: nullcontext(SimpleNamespace(database=database)))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLEVENTS_CITY", "Montreal"),
        ("LAVITRINE_PAGE_URLS", "https://example.org/agenda"),
        ("OPEN_DATA_MONTREAL_CSV", "./events.csv"),
        ("ICS_FEEDS", "club=./club.ics"),
        ("DATABASE_URL", "postgresql://me@db.example.org/events"),
    ],
)
def test_dev_shows_the_demonstration_until_something_is_set(
    after_demo: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert dev_module._only_demo_data()
    monkeypatch.setenv(name, value)
    assert not dev_module._only_demo_data()


def test_a_command_that_made_an_empty_database_does_not_hide_the_demonstration(
    after_demo: Path, database: Database
) -> None:
    (after_demo / "postgres").mkdir()
    assert dev_module._only_demo_data()
    with database.transaction() as connection:
        ensure_user(connection, "ada")
    assert not dev_module._only_demo_data()


@pytest.fixture
def environment(platform_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return {**os.environ, **platform_environment, "LLM_PROVIDERS": "offline", "COLUMNS": "200"}


def test_ingest_api_becomes_the_service(environment: dict[str, str], tmp_path: Path) -> None:
    """One process: a signal to the command reaches the service, which ends by itself."""
    port = free_port()
    with Supervisor(tmp_path) as supervisor:
        supervisor.start("api", [*INGEST, "api", "--port", str(port)], environment=environment)
        wait_for_http(f"http://127.0.0.1:{port}/live", supervisor, lambda: False)
        [child] = supervisor._children
        assert psutil.Process(child.process.pid).children() == []
        child.process.terminate()
        assert child.process.wait(20) == 0


@pytest.mark.parametrize("option", ["--port", "--api-port"])
def test_a_port_that_is_taken_is_named_before_anything_starts(ingest: Command, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        done = ingest("dev", "--port", str(free_port()), "--api-port", str(free_port()), option, str(taken))
    assert done.status == 1
    assert f"port {taken} cannot be used" in done.err
    assert option in done.err
    assert "http://" not in done.err


class Dev:
    """`ingest dev` as somebody starts it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.port, self.api_port = free_port(), free_port()
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*INGEST, "dev", "--port", str(self.port), "--api-port", str(self.api_port)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def tree(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(60)
        self._reader.join(10)


@pytest.fixture
def dev(environment: dict[str, str]) -> Iterator[Dev]:
    made = Dev(environment)
    yield made
    made.close()


@pytest.mark.soak
@pytest.mark.dagster
def test_dev_starts_everything_does_a_job_and_leaves_no_process(dev: Dev, database: Database) -> None:
    from ingestion_assets.job_kinds import job_kinds

    until(lambda: "stop: Ctrl-C" in dev.said or dev.process.poll() is not None, "dev did not start", 150)
    assert f"http://127.0.0.1:{dev.api_port}/admin/ingestion" in dev.said, dev.said
    assert httpx.get(f"http://127.0.0.1:{dev.api_port}/live").json() == {"status": "ok"}
    with database.transaction() as connection:
        enqueue(connection, job_kinds()["ai.summarise"], {"text": "Osmosis is a flow of water. It needs a membrane."})
    states = "SELECT state FROM async_jobs"
    until(lambda: database.fetch_all(states)[0]["state"] == "completed", "the worker took no job", 30)
    tree = dev.tree()
    assert len(tree) >= 5
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(60) == 0
    _, alive = psutil.wait_procs(tree, timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE], alive
    assert dev.said.rstrip().endswith("Stopped.")
