"""What a piece of work cost: CPU of its process, CPU of a server's whole process tree, memory at its peak.

Wall time says little on a shared machine, so every comparison is of CPU seconds. Only the standard library at module
level: peers' environments import this too.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._figures import with_unit


def cpu_seconds() -> float:
    """User and system time of this process, its threads and the children that it has waited for."""
    mine = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime


def peak_rss_mb() -> float:
    """The most memory that this process has had resident, in MiB.

    From VmHWM, which an exec resets; `ru_maxrss` carries over what the parent had.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def tree_cpu_seconds(pid: int) -> float:
    """User and system time of a process and all below it, with the children that each has reaped."""
    import psutil

    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it has just ended: its parent has its times now, and counts them with the next look
        total += times.user + times.system + times.children_user + times.children_system
    return total


@dataclass(slots=True)
class Cost:
    """What the body of `measured` took."""

    cpu: float = 0.0
    wall: float = 0.0
    rss_mb: float = 0.0
    start_up_cpu: float = 0.0
    """Spent before: the interpreter and imports."""

    def report(self, **more: Any) -> None:
        """Print the one line of JSON that the parent process reads."""
        line = {
            "cpu": self.cpu,
            "wall": self.wall,
            "rss_mb": self.rss_mb,
            "start_up_cpu": self.start_up_cpu,
            **more,
        }
        sys.stdout.write(json.dumps(line) + "\n")


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the body: CPU of this process, wall time, and the peak of memory so far."""
    cost = Cost(start_up_cpu=cpu_seconds())
    began = time.perf_counter()
    yield cost
    cost.wall = time.perf_counter() - began
    cost.cpu = cpu_seconds() - cost.start_up_cpu
    cost.rss_mb = peak_rss_mb()


def machine() -> str:
    """The machine in one line, without its name."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = f" ({line.partition(':')[2].strip()})"
            break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cores} cores{model}, {memory:.0f} GB of memory, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


def load_average() -> float:
    """How many processes wanted a core during the last minute: over the number of cores, wall times mean nothing."""
    return os.getloadavg()[0]


def markdown_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table of `rows`; a missing value is a dash."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(str(row.get(column, "–")) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Bar:
    """One thing that must hold, and what was measured of it."""

    text: str
    measured: float
    limit: float
    at_least: bool = False
    unit: str = "x"
    peer: str = ""
    """Who is ahead of ours where it is missed, when that is all it says."""

    @property
    def held(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def row(self) -> dict[str, Any]:
        sign = "≥" if self.at_least else "≤"
        return {
            "bar": self.text,
            "measured": with_unit(self.measured, self.unit),
            "wanted": f"{sign} {self.limit:g} {self.unit}".strip(),
            "held": "yes" if self.held else "**no**",
        }

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "bar": self.text,
            "measured": self.measured,
            "limit": self.limit,
            "at_least": self.at_least,
            "unit": self.unit,
            "peer": self.peer,
            "held": self.held,
        }


def bars_table(bars: Sequence[Bar]) -> str:
    """The bars as a Markdown table."""
    return markdown_table(("bar", "measured", "wanted", "held"), [bar.row() for bar in bars])
