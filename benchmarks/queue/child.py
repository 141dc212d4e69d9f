"""What every method's process does around its worker: say that it is ready, wait for the start, count, report.

Peers' environments import this too: standard library and psycopg only.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._measure import measured

INSERT = "INSERT INTO tally (job, worker) VALUES (%s, %s)"
"""What a job does: one row that shows who ran it."""


def task() -> dict[str, Any]:
    """What the parent wants: url, action (`install`, `fill`, `drain`, `wait`, `hang`), jobs, go."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    return given


def wait_for(go: str | None) -> None:
    """Wait until the parent lets all begin together."""
    while go and not Path(go).exists():
        time.sleep(0.005)


def act(given: dict[str, Any], actions: dict[str, Callable[[dict[str, Any]], None]]) -> None:
    """Do what the parent wants and report what it cost."""
    if given.get("ready"):
        Path(given["ready"]).touch()
    wait_for(given.get("go"))
    with measured() as cost:
        actions[given["action"]](given)
    cost.report()
    sys.stdout.flush()
    os._exit(0)  # whatever threads or loops a library leaves behind


def hang_once(hung: str) -> None:
    """Never return from the first job; the file tells the parent, and the next worker that it is not the first."""
    path = Path(hung)
    if not path.exists():
        path.touch()
        time.sleep(3600)
