"""`dedup`, `tag` and `study` called with files that cannot be used: they say so, and destroy nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import Command, Done
from tests.processes import ROOT
from tests.study import files

PROGRAM = (sys.executable, "-c", "from ingestion_assets.cli import main; main()")
VERBS = ("dedup", "tag", "study")
SUFFIX = {"dedup": "csv", "tag": "jsonl", "study": "json"}
Call = Callable[..., Done]


@pytest.fixture
def call(ingest_offline: Command, tmp_path: Path) -> Call:
    """A verb with a good input, `in.*`, and the named output."""
    (tmp_path / "in.csv").write_text("source,source_id,title,start_at\na,1,Jazz,2026-03-05\na,2,Rock,2026-03-06\n")
    (tmp_path / "in.jsonl").write_text(json.dumps({"event_id": "1", "title": "Jazz"}) + "\n")
    (tmp_path / "in.txt").write_text(files.ENGLISH)

    def run(verb: str, output: str, *more: str, source: str | None = None) -> Done:
        if verb == "study":
            return ingest_offline("study", source or "in.txt", "-o", output, *more)
        return ingest_offline(verb, "--input", source or f"in.{SUFFIX[verb]}", "--output", output, *more)

    return run


def assert_refused(done: Done, said: str) -> None:
    assert done.status in (1, 2)
    assert said in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("nowhere/out", "does not exist: create it first"),
        ("in.txt/out", "does not exist: create it first"),
        ("folder", "is a folder or a device: name a file"),
        ("o" * 250, "name too long"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    call: Call, tmp_path: Path, verb: str, output: str, said: str
) -> None:
    (tmp_path / f"folder.{SUFFIX[verb]}").mkdir()
    before = left(tmp_path)
    done = call(verb, f"{output}.{SUFFIX[verb]}")
    assert_refused(done, said)
    assert left(tmp_path) == before


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_read_is_not_overwritten(call: Call, tmp_path: Path, verb: str) -> None:
    source = tmp_path / f"in.{SUFFIX[verb]}"
    if verb == "study":
        source.write_text(files.ENGLISH)
    content = source.read_bytes()
    (tmp_path / f"link.{SUFFIX[verb]}").symlink_to(source)
    for output in (source.name, f"link.{SUFFIX[verb]}"):
        assert_refused(call(verb, output, source=source.name), "is named twice, and would be overwritten")
    assert source.read_bytes() == content


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("content", [None, b"", b"a,b\n1,2\n", b"\x00\xff\xfe\x01", b"nothing of use\n"])
def test_an_input_that_cannot_be_used_leaves_the_output_of_before(
    call: Call, tmp_path: Path, verb: str, content: bytes | None
) -> None:
    source, output = tmp_path / f"bad.{SUFFIX[verb]}", tmp_path / f"out.{SUFFIX[verb]}"
    if content is not None:
        source.write_bytes(content)
    output.write_text("kept")
    done = call(verb, output.name, source=source.name)
    assert done.status in (1, 2)
    assert "Traceback" not in done.err
    assert len(done.err + done.out) > 20
    # A line of the input is a line of the output of `tag`, be it an error.
    assert output.read_text() == "kept" or verb == "tag"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("verb", VERBS)
def test_an_input_that_is_a_folder_is_refused(call: Call, tmp_path: Path, verb: str) -> None:
    (tmp_path / f"folder.{SUFFIX[verb]}").mkdir()
    done = call(verb, f"out.{SUFFIX[verb]}", source=f"folder.{SUFFIX[verb]}")
    assert done.status in (1, 2)
    assert "Traceback" not in done.err
    assert not (tmp_path / f"out.{SUFFIX[verb]}").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_a_link_stays_a_link_and_a_private_file_private(call: Call, tmp_path: Path, verb: str) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    target.chmod(0o600)
    (tmp_path / f"out.{SUFFIX[verb]}").symlink_to(target)
    assert call(verb, f"out.{SUFFIX[verb]}").status == 0
    assert (tmp_path / f"out.{SUFFIX[verb]}").is_symlink()
    assert target.read_text() != "old"
    assert target.stat().st_mode & 0o777 == 0o600


def test_records_without_a_usable_one_teach_a_new_state_nothing(call: Call, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("source,source_id,title,start_at\na,1,Jazz,soon\n")
    done = call("dedup", "out.csv", "--state", "state.jsonl", source="bad.csv")
    assert_refused(done, "holds no record that can be used")
    assert "row 1, start_at: 'soon' is no ISO 8601 date" in done.err
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "state.jsonl").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--state", "nowhere/state.jsonl"), "does not exist: create it first"),
        (("--state", "."), "is a folder or a device"),
        (("--state", "in.csv"), "is named twice, and would be overwritten"),
        (("--state", "out.csv"), "is named twice, and would be overwritten"),
        (("--timezone", "Mars/Base"), "is no IANA time zone, such as America/Toronto"),
    ],
)
def test_options_of_dedup_are_looked_at_first(call: Call, tmp_path: Path, more: tuple[str, ...], said: str) -> None:
    assert_refused(call("dedup", "out.csv", *more), said)
    assert not (tmp_path / "out.csv").exists()


def test_settings_of_study_are_looked_at_before_documents_are_read(call: Call) -> None:
    done = call("study", "out.json", "--provider", "openai", source="nowhere.txt")
    assert_refused(done, "a setting cannot be used. LLM_PROVIDERS names openai, but OPENAI_API_KEY is not set")
    assert_refused(call("study", "out.json", "--cards", "0", "--questions", "0"), "are both 0")


def test_a_name_that_is_no_utf8_is_written_and_shown_as_it_is(tmp_path: Path) -> None:
    source, name = (os.fsencode(tmp_path) + name for name in (b"/\xe9t\xe9.txt", b"/d\xe9ck.json"))
    Path(os.fsdecode(source)).write_text(files.ENGLISH)
    done = subprocess.run(
        [*PROGRAM, "study", os.fsdecode(source), "-o", os.fsdecode(name), "--cards", "2"],
        env={"PATH": os.environ["PATH"], "LLM_PROVIDERS": "offline", "PYTHONUTF8": "1"},
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert name in done.stdout
    assert json.loads(Path(os.fsdecode(name)).read_bytes())["cards"]


def test_ctrl_c_in_the_middle_leaves_the_output_of_before(tmp_path: Path) -> None:
    lines = (f"s{n % 5},{n},Concert {n % 7000} jazz,2026-03-{1 + n % 28:02}\n" for n in range(60_000))
    (tmp_path / "in.csv").write_text("source,source_id,title,start_at\n" + "".join(lines))
    (tmp_path / "out.csv").write_text("kept")
    process = subprocess.Popen(
        [*PROGRAM, "dedup", "--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out.csv")],
        env={"PATH": os.environ["PATH"]},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not list(tmp_path.glob(".out.csv.*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err == "ingest: stopped by Ctrl-C before the end; call it again\n"
    assert left(tmp_path) == {"in.csv", "out.csv"}
    assert (tmp_path / "out.csv").read_text() == "kept"
