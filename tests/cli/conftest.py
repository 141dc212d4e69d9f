from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import dotenv
import pytest

from tests.cli.command import Command, Done
from tests.fakes.feeds import CalendarFeed, CsvFeed, this_week


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command line in this process, without anybody's `.env`."""
    monkeypatch.setattr(dotenv, "load_dotenv", lambda *_: False)
    monkeypatch.setenv("LLM_PROVIDERS", "offline")
    monkeypatch.setenv("COLUMNS", "200")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}

    def run(*arguments: str) -> Done:
        from ingestion_assets.cli import main

        monkeypatch.setattr(sys, "argv", ["ingest", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Done(int(ended.value.code or 0), out, err)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def ingest(platform_environment: dict[str, str], command: Command) -> Command:
    """The command line on databases of the test's own."""
    return command


@pytest.fixture
def ingest_offline(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """The command line where no database can be reached and none may be started; its folder is the test's."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("INGESTION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    yield command
    assert not (tmp_path / "home").exists()


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CsvFeed:
    """Thirty events of the coming three weeks in the city's feed."""
    feed = CsvFeed(tmp_path / "city.csv", this_week(), numbers=range(30))
    for name, value in feed.write().items():
        monkeypatch.setenv(name, value)
    return feed


@pytest.fixture
def calendar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CalendarFeed:
    """Some of them in a calendar too."""
    feed = CalendarFeed(tmp_path / "calendar.ics", this_week(), numbers=range(10))
    for name, value in feed.write().items():
        monkeypatch.setenv(name, value)
    return feed
