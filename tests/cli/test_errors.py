"""Whatever ends a command ends it with a sentence and a status: no traceback, and nothing that opens anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import Command, Done
from tests.processes import ROOT

PROGRAM = (sys.executable, "-c", "from ingestion_assets.cli import main; main()")


def assert_refused(done: Done, said: str) -> None:
    assert done.status in (1, 2)
    assert said in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("users", "add", "ada", "--days", "999999999"), "less than or equal to 36500"),
        (("users", "limit", "ada", "documents_per_day", "9" * 24), "less than or equal to"),
        (("dev", "--port", "99999"), "less than or equal to 65535"),
        (("dev", "--api-port", "0"), "greater than or equal to 1"),
        (("clean-stuck-imports", "--older-than", "99999999999d"), "is no duration; write it like 90s"),
        (("clean-stuck-imports", "--older-than", "9" * 400 + "d"), "is no duration; write it like 90s"),
    ],
)
def test_a_number_beyond_all_bounds_is_refused(ingest_offline: Command, arguments: tuple[str, ...], said: str) -> None:
    assert_refused(ingest_offline(*arguments), said)


def test_an_argument_that_is_no_utf8_is_refused(ingest: Command) -> None:
    assert_refused(ingest("users", "delete", "\udcff", "--yes"), r"a text holds '\udcff', which is no UTF-8")


def test_a_url_that_postgresql_cannot_read_is_not_shown(
    ingest_offline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:canary@[db/events")
    for verb in (("status",), ("users", "list")):
        done = ingest_offline(*verb)
        assert_refused(done, "the URL of the database cannot be read")
        assert "canary" not in done.out + done.err


def test_a_home_that_is_a_file_is_named(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("INGESTION_HOME", str(tmp_path / "file"))
    assert_refused(command("daemon"), f"{tmp_path}/file/logs: Not a directory")


def test_a_defect_shows_its_traceback_without_what_was_given_in_it(
    ingest_offline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> str:
        raise RuntimeError("cannot parse https://me:canary-0a1b2c3d@example.org/feed")

    monkeypatch.setattr("ingestion_assets.cli.settings.markdown", broken)
    done = ingest_offline("settings", "--markdown")
    assert done.status == 1
    assert "RuntimeError: cannot parse https://***@example.org/feed" in done.err
    assert "canary" not in done.err


def test_ctrl_c_while_the_program_is_still_loaded_shows_no_traceback() -> None:
    program = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'ingestion_assets.cli.status': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from ingestion_assets.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "settings"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith("ingest: stopped by Ctrl-C")


@pytest.mark.parametrize("arguments", [("settings",), ("settings", "--markdown")])
def test_a_reader_that_goes_away_ends_the_command_without_a_traceback(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*PROGRAM, *arguments], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs a device that is always full")
def test_a_full_disk_is_named() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "settings", "--markdown"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "No space left on device. Look at the path" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_that_lacks_a_character_is_told_what_to_set() -> None:
    done = subprocess.run(
        [*PROGRAM, "settings"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "set PYTHONIOENCODING=utf-8" in done.stderr
    assert "Traceback" not in done.stderr
