"""A pytest plugin: what the long suites did to the system, and what held, as one page of Markdown.

`make soak` loads it (`-p tests.soak_report --soak-report FILE`). A suite is a test function with all its rounds; it is
described by its name and the first line of its docstring. What a test measures it says by `record_property`: whole numbers
are counts, summed over the rounds; other numbers are measures, of which the least and the most are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks._measure import load_average, machine, markdown_table


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that asks for the report."""
    parser.addoption("--soak-report", type=Path, metavar="FILE", help="write what was done and what held to this file")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the session, in the process that hears of every test."""
    path = config.getoption("--soak-report")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SoakReport(Path(path)), "soak-report-writer")


@dataclass(slots=True)
class Suite:
    """One test function with all its rounds."""

    name: str
    """Node id without parameters."""
    about: str = ""
    seconds: float = 0.0
    ends: dict[str, str] = field(default_factory=dict)
    """How each round ended: passed, failed or skipped."""
    reasons: dict[str, str] = field(default_factory=dict)
    figures: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, report: pytest.TestReport) -> None:
        """One phase of one round. A round is as bad as its worst phase."""
        self.seconds += report.duration
        if report.when == "call":
            for name, value in report.user_properties:
                self.figures.setdefault(name, []).append(value)
        before = self.ends.get(report.nodeid)
        if report.outcome != "passed" or (report.when == "call" and before is None):
            self.ends[report.nodeid] = "failed" if "failed" in (before, report.outcome) else report.outcome
        if report.outcome != "passed":
            self.reasons.setdefault(report.nodeid, _reason(report))

    def row(self) -> dict[str, Any]:
        """Of the table."""
        path, _, function = self.name.partition("::")
        held = Counter(self.ends.values())
        words = function.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        return {
            "suite": f"`{path.removeprefix('tests/')}`",
            "what holds, and what was done": _cell(f"{words}. {self.about}".strip()),
            "rounds": len(self.ends),
            "held": f"{held['passed']}" + (f", **{held['failed']} failed**" if held["failed"] else ""),
            "seconds": f"{self.seconds:.0f}",
            "figures": _cell("; ".join(f"{name} {_said(values)}" for name, values in self.figures.items())) or "–",
        }


class SoakReport:
    """Hears of every test and writes the page at the end of the session, interrupted or not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began = datetime.now(UTC)
        self._load = load_average()
        self._suites: dict[str, Suite] = {}
        self._about: dict[str, str] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Keep what a test says about itself: reports of it do not."""
        about = getattr(getattr(item, "obj", None), "__doc__", None) or ""
        self._about[item.nodeid] = about.strip().partition("\n")[0]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test has ended."""
        name = report.nodeid.partition("[")[0]
        suite = self._suites.setdefault(name, Suite(name, self._about.get(report.nodeid, "")))
        suite.add(report)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the page."""
        stopped = exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
        self._path.write_text(self.page(datetime.now(UTC), interrupted=stopped), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where it is."""
        terminalreporter.write_line(f"report: {self._path}")

    def page(self, ended: datetime, *, interrupted: bool) -> str:
        """The report as Markdown."""
        suites = [suite for suite in self._suites.values() if suite.ends]
        ends = Counter(end for suite in suites for end in suite.ends.values())
        minutes = (ended - self._began).total_seconds() / 60
        parts = [
            "# Soak: the long fault and scale suites",
            (
                f"{self._began:%Y-%m-%d %H:%M} UTC, {minutes:.1f} minutes, load average {self._load:.1f} at the start and"
                f" {load_average():.1f} at the end. {machine()}."
            ),
            (
                f"{ends['passed']} rounds of {len(suites)} suites held, {ends['failed']} failed, {ends['skipped']} were not"
                f" run.{' **The session was interrupted: the suites that are missing did not run.**' if interrupted else ''}"
            ),
            *_list("Failed", "failed", suites),
            *_list("Not run", "skipped", suites),
        ]
        if suites:
            rows = [suite.row() for suite in suites]
            parts += ["## Suites", markdown_table(list(rows[0]), rows)]
        return "\n\n".join(parts) + "\n"


def _list(title: str, end: str, suites: Sequence[Suite]) -> Iterator[str]:
    lines = [
        f"- `{name}`: {_cell(suite.reasons.get(name, ''))}"
        for suite in suites
        for name, found in suite.ends.items()
        if found == end
    ]
    if lines:
        yield f"## {title}"
        yield "\n".join(lines)


def _reason(report: pytest.TestReport) -> str:
    """The first line of why a phase failed or was skipped."""
    match report.longrepr:
        case (_, _, str(text)):
            return text.removeprefix("Skipped: ")
        case None:
            return ""
        case other:
            crash = getattr(other, "reprcrash", None)
            text = str(getattr(crash, "message", other)).strip()
            return text.partition("\n")[0] or "no reason given"


def _said(values: Sequence[Any]) -> str:
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return f"{sum(values):,}"
    if all(isinstance(value, int | float) for value in values):
        low, high = f"{min(values):.3g}", f"{max(values):.3g}"
        return low if low == high else f"{low} to {high}"
    return ", ".join(dict.fromkeys(map(str, values)))


def _cell(text: str) -> str:
    """For a table: on one line, without its separator."""
    return " ".join(text.split()).replace("|", "\\|")
