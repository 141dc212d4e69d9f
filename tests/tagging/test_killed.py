"""A process that is killed in the middle has paid for nothing twice but what was under way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.fakes.llm_provider import ROOT, FakeProvider

IN_FLIGHT = 8

# Stores each row as it comes, and begins with what is not stored yet: what the asset does with its table.
_PROGRAM = """
import asyncio, json, os, sys
from pathlib import Path
from ingestion_assets.events.tagging import tag_events, tag_input
from resources.llm import Deadline, LlmSettings, build_client

url, store, count, concurrency = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
done = {line.split()[0] for line in store.read_text().splitlines()} if store.exists() else set()
inputs = [tag_input(event_id=f"evt-{n}", title=f"Concert de jazz {n}") for n in range(count) if f"evt-{n}" not in done]
file = store.open("a")

def keep(results):
    file.write("".join(f"{result.event_id} {result.status}\\n" for result in results))
    file.flush()
    os.fsync(file.fileno())

async def main():
    settings = LlmSettings(llm_providers="openai", openai_api_key="sk-x", openai_base_url=url)
    async with build_client(settings) as client:
        await tag_events(inputs, client, deadline=Deadline.after(120), on_results=keep, events_per_prompt=1,
                         concurrency=concurrency)

asyncio.run(main())
"""


def test_after_a_sigkill_the_next_run_asks_only_for_what_is_missing(provider: FakeProvider, tmp_path: Path) -> None:
    provider.reset(rpm=6000, latency=0.05)
    store, count = tmp_path / "rows", 120
    command = [sys.executable, "-c", _PROGRAM, provider.openai_url, str(store), str(count), str(IN_FLIGHT)]

    first = subprocess.Popen(command, cwd=ROOT)
    while not store.exists() or len(store.read_text().splitlines()) < count // 3:
        assert first.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    stored = store.read_text().splitlines()
    assert len(stored) < count
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)

    rows = [line.split() for line in store.read_text().splitlines()]
    assert sorted(row[0] for row in rows) == sorted(f"evt-{number}" for number in range(count))
    assert {row[1] for row in rows} == {"done"}
    books = provider.books()
    assert books["answered"] <= count + IN_FLIGHT
    assert books["duplicates"] <= IN_FLIGHT
    assert json.dumps(books["verdicts"]).count("rejected") == 0
