"""`ingest demo` as a newcomer runs it: a process of its own, an embedded server, no setting at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resources.postgres.server import EmbeddedServer
from tests.databases import scratch_folder

ROOT = Path(__file__).parents[2]
STEPS = ["ics", "open_data_montreal", "deduplicated_events", "tag_enrichments"]


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ingestion-demo-", dir=scratch_folder()) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        EmbeddedServer(Path(folder) / "demo" / "postgres").destroy()


def _demo(home: Path, **settings: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", "from ingestion_assets.cli import main; main()", "demo", "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "INGESTION_HOME": str(home), **settings},
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(report, dict)
    return report


def test_the_demo_shows_every_step_and_changes_nothing_the_second_time(home: Path) -> None:
    first = _demo(home)
    assert first["status"] == "SUCCESS"
    assert list(first["steps"]) == STEPS
    for step in first["steps"].values():
        assert step["status"] == "SUCCESS"
        assert step["created"] > 0
        assert step["fetched"] == step["created"] + step["updated"] + step["skipped"] + step["errors"]
    assert first["events_in_several_sources"] > 0
    assert first["rejected"], "the samples hold a few bad records, to be looked at"
    assert sum(first["rejected"].values()) == sum(step["errors"] for step in first["steps"].values())

    # What somebody has set for work of their own changes nothing either.
    second = _demo(
        home,
        INGESTION_START_DATE="2027-01-04",
        INGESTION_TIMEZONE="Asia/Tokyo",
        OPEN_DATA_MONTREAL_ENABLED="false",
        ICS_MAX_OCCURRENCES="1",
        TAG_ENRICHMENT_MODE="batch",
    )
    for name, step in second["steps"].items():
        assert (step["created"], step["updated"]) == (0, 0), name
        assert step["fetched"] == first["steps"][name]["fetched"], name
    assert second["rejected"] == first["rejected"]
    assert not EmbeddedServer(home / "demo" / "postgres").status().running, "the last user stops the server"
