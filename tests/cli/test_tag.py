"""`ingest tag`: a line out for each line in, the old output untouched until the new one is whole, a status to gate on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Command
from tests.fakes.llm_provider import ROOT, FakeProvider, fake_provider

EVENTS = [{"event_id": "1", "title": "Concert de jazz"}, {"event_id": 2, "title": "Bal rock"}]


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_line_gives_a_line_with_tags_or_with_an_error(ingest_offline: Command, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", *EVENTS, {"event_id": "3"}, {"event_id": "1", "title": "Again"}, ["no"])
    done = ingest_offline("tag", "--input", str(source), "--output", "out.jsonl", "--json")
    assert (done.status, done.report["status"]) == (0, "SUCCESS")
    assert [done.report[name] for name in ("events", "done", "pending", "errors")] == [5, 2, 0, 3]
    assert {row["event_id"]: row["status"] for row in rows(tmp_path / "out.jsonl") if row["status"] == "done"} == {
        "1": "done",
        "2": "done",
    }
    assert "3 lines cannot be used; the first: line 3: title is missing" in done.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"title,venue", "not JSON"),
        ('{"event_id": "1", "title": "Café"}'.encode("latin-1"), "not UTF-8: save the file as UTF-8"),
        ('{"event_id": "1", "title": "Café"}'.encode("utf-16"), "not UTF-8"),
        (b'{"event_id": true, "title": "a"}', "event_id is missing"),
        (b'{"event_id": "\\ud800", "title": "a"}', "half a character"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_where_nothing_can_be_done_the_command_fails_and_says_why(
    ingest_offline: Command, tmp_path: Path, line: bytes, said: str
) -> None:
    (tmp_path / "in.jsonl").write_bytes(line + b"\n" + line + b"\n")
    done = ingest_offline("tag", "--input", "in.jsonl", "--output", "out.jsonl", "--json")
    assert done.status == 1
    assert (done.report["status"], done.report["done"]) == ("ERROR", 0)
    assert said in done.err
    assert {row["status"] for row in rows(tmp_path / "out.jsonl")} == {"error"}


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_a_file_without_an_event_is_refused(ingest_offline: Command, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.jsonl").write_bytes(content)
    (tmp_path / "out.jsonl").write_text("kept")
    done = ingest_offline("tag", "--input", "in.jsonl", "--output", "out.jsonl")
    assert done.status == 1
    assert "holds no event" in done.err
    assert (tmp_path / "out.jsonl").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LLM_PROVIDERS", "openai", "a setting cannot be used. LLM_PROVIDERS names openai, but OPENAI_API_KEY"),
        ("TAG_ENRICHMENT_EVENTS_PER_PROMPT", "900", "TAG_ENRICHMENT_EVENTS_PER_PROMPT: Input should be"),
    ],
)
def test_a_setting_is_refused_before_the_output_is_touched(
    ingest_offline: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    (tmp_path / "out.jsonl").write_text("kept")
    write(tmp_path / "in.jsonl", *EVENTS)
    done = ingest_offline("tag", "--input", "in.jsonl", "--output", "out.jsonl")
    assert done.status == 1
    assert said in done.err
    assert (tmp_path / "out.jsonl").read_text() == "kept"


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with fake_provider(latency=0.05) as provider:
        yield provider


def test_answers_that_were_paid_for_outlive_ctrl_c(provider: FakeProvider, tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", *({"event_id": str(n), "title": f"Concert {n}"} for n in range(500)))
    (tmp_path / "out.jsonl").write_text("kept")
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from ingestion_assets.cli import main; main()", "tag"),
            *("--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl")),
        ],
        env={
            "PATH": os.environ["PATH"],
            "LLM_PROVIDERS": "openai",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": provider.openai_url,
            "LLM_CONCURRENCY": "1",
            "TAG_ENRICHMENT_EVENTS_PER_PROMPT": "1",
        },
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not any(path.stat().st_size for path in tmp_path.glob(".out.jsonl.*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err
    [partial] = tmp_path.glob(".out.jsonl.*")
    assert str(partial) in err
    assert {row["status"] for row in rows(partial)} == {"done"}
    assert (tmp_path / "out.jsonl").read_text() == "kept"
