"""Run benchmarks and put their reports together: `python -m benchmarks [name ...] [--quick] [--without-peers] [--json]`.

A benchmark is a folder with a `run.py`. It prints its report on standard output, tells its progress on standard error,
and takes `--json FILE`; `--quick` and `--without-peers` are passed on where its `--help` names them. A `run.py` that
compares with other libraries makes their environment itself (`_processes.peer_python`), or names packages that it
needs beside the platform in `requirements-run.txt` and is run where they are.

The report goes to standard output: what must hold first, then each benchmark's own tables.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from benchmarks._measure import load_average, machine, markdown_table
from benchmarks._processes import ROOT, platform_python

FOLDER = Path(__file__).parent
_KEPT_LINES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one benchmark said."""

    name: str
    report: str
    figures: Any
    """What it wrote as JSON, None when it failed."""
    error: str | None = None

    @property
    def bars(self) -> list[dict[str, Any]]:
        """What must hold, where it says so."""
        said = self.figures.get("bars", []) if isinstance(self.figures, dict) else []
        return [{"benchmark": self.name, **bar} for bar in said]

    def section(self) -> str:
        """Its part of the report: Markdown as it is, other text as a block."""
        if self.error is not None:
            return f"## {self.name}\n\nFailed:\n\n```\n{self.error}\n```"
        text = self.report.strip()
        return text if text.startswith("#") else f"## {self.name}\n\n```\n{text}\n```"


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted(path.parent.name for path in FOLDER.glob("*/run.py"))


def run(name: str, options: Sequence[str], tell: Callable[[str], None]) -> Outcome:
    """Run one benchmark in a process of its own; `tell` hears its progress."""
    requirements = FOLDER / name / "requirements-run.txt"
    command = [
        platform_python(requirements) if requirements.exists() else sys.executable,
        "-m",
        f"benchmarks.{name}.run",
    ]
    known = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        figures = Path(folder) / "figures.json"
        command += [option for option in options if option in known]
        command += ["--json", str(figures)] if "--json" in known else []
        printed = Path(folder) / "report.md"
        last: deque[str] = deque(maxlen=_KEPT_LINES)
        with printed.open("w") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.PIPE, text=True)
            if process.stderr is not None:
                for line in process.stderr:
                    last.append(line)
                    tell(line.strip())
            code = process.wait()
        return Outcome(
            name=name,
            report=printed.read_text(),
            figures=json.loads(figures.read_text()) if figures.exists() else None,
            error=None if code == 0 else f"exit status {code}\n{''.join(last)}{printed.read_text()}".rstrip(),
        )


def assemble(outcomes: Sequence[Outcome]) -> str:
    """The whole report."""
    bars = [bar for outcome in outcomes for bar in outcome.bars]
    parts = ["# Benchmarks", _circumstances()]
    if bars:
        rows = [
            {
                "benchmark": bar["benchmark"],
                "what": bar["bar"],
                "measured": f"{bar['measured']:.2f}",
                "wanted": f"{'≥' if bar.get('at_least') else '≤'} {bar['limit']:g}",
                "held": "yes" if bar["held"] else "**no**",
            }
            for bar in bars
        ]
        parts.append(markdown_table(list(rows[0]), rows))
    return "\n\n".join([*parts, *(outcome.section() for outcome in outcomes)])


def _circumstances() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}. {machine()}. Load average at the end: {load_average():.1f}."


def _teller(progress: Progress, task: TaskID, name: str) -> Callable[[str], None]:
    def tell(line: str) -> None:
        progress.update(task, description=f"{name}: {line.removeprefix(f'{name}: ')[:90]}")

    return tell


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 when a benchmark failed to run; a bar that is missed is a result, not a failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run benchmarks and report.")
    parser.add_argument("name", nargs="*", help=f"which: {', '.join(names())}; all without a name")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a first look")
    parser.add_argument("--without-peers", action="store_true", help="measure ours only")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of Markdown")
    given = parser.parse_args(arguments)
    if unknown := set(given.name) - set(names()):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    options = [option for option, on in (("--quick", given.quick), ("--without-peers", given.without_peers)) if on]

    outcomes = []
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        for name in given.name or names():
            task = progress.add_task(name, total=1)
            outcome = run(name, options, _teller(progress, task, name))
            progress.update(task, completed=1, description=f"{name}: {'failed' if outcome.error else 'done'}")
            outcomes.append(outcome)
    if given.json:
        figures = {outcome.name: outcome.figures for outcome in outcomes}
        print(json.dumps({"machine": machine(), "benchmarks": figures}, indent=1, ensure_ascii=False))
    else:
        print(assemble(outcomes))
    return int(any(outcome.error is not None for outcome in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
