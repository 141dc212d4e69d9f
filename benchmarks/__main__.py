"""Run benchmarks and write their report: `python -m benchmarks [name ...] [--quick] [--without-peers]`.

A benchmark is a folder with a `run.py`. It prints its part of the report on standard output, tells its progress on
standard error, and takes `--json FILE`, where it writes an object with `bars`, `measurements`, `comparisons` and `series`
(`_figures.py`); `--quick`, `--without-peers` and `--size` are passed on where its `--help` names them. A `run.py` that
compares with other libraries makes their environment itself (`_processes.peer_python`), or names packages that it needs
beside the platform in `requirements-run.txt` and is run where they are.

Full runs are kept: their figures and plots in docs/benchmarks/, and docs/benchmarks.md is written anew of all that is kept.
Small ones are only printed, unless `--into` names another folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from benchmarks._measure import load_average
from benchmarks._processes import ROOT, platform_python
from benchmarks._report import Result, Store, page

FOLDER = Path(__file__).parent
_KEPT_LINES = 40


@dataclass(frozen=True, slots=True)
class Failure:
    """A benchmark that did not run to its end, and the last that it said."""

    error: str
    at: datetime


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted(path.parent.name for path in FOLDER.glob("*/run.py"))


def run(name: str, options: Sequence[str], tell: Callable[[str], None]) -> Result | Failure:
    """Run one benchmark in a process of its own; `tell` hears its progress."""
    began, load = datetime.now(UTC), load_average()
    requirements = FOLDER / name / "requirements-run.txt"
    try:
        python = platform_python(requirements) if requirements.exists() else sys.executable
    except RuntimeError as error:
        return Failure(str(error), began)
    command = [python, "-m", f"benchmarks.{name}.run"]
    known = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        figures = Path(folder) / "figures.json"
        command += [option for option in options if option.partition("=")[0] in known]
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
        if code != 0:
            return Failure(f"exit status {code}\n{printed.read_text()}{''.join(last)}".rstrip(), began)
        return Result.of(
            name,
            printed.read_text(),
            json.loads(figures.read_text()) if figures.exists() else None,
            began=began,
            ended=datetime.now(UTC),
            load=(load, load_average()),
        )


def _teller(progress: Progress, task: TaskID, name: str) -> Callable[[str], None]:
    def tell(line: str) -> None:
        progress.update(task, description=f"{name}: {line.removeprefix(f'{name}: ')[:90]}")

    return tell


def _read(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run benchmarks and report.")
    parser.add_argument("name", nargs="*", help=f"which: {', '.join(names())}; all without a name")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a first look; printed, not kept")
    parser.add_argument("--without-peers", action="store_true", help="measure ours only; printed, not kept")
    parser.add_argument("--size", type=int, action="append", help="instead of a benchmark's own sizes; may be repeated")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="keep the report there instead of in docs")
    parser.add_argument("--assemble", action="store_true", help="run nothing: write page and plots of what is kept")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of Markdown")
    given = parser.parse_args(arguments)
    if unknown := set(given.name) - set(names()):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    if given.size and len(given.name) != 1:
        parser.error("--size is of one benchmark: name it")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 when a benchmark failed to run; a bar that is missed is a result, not a failure."""
    given = _read(arguments)
    options = [option for option, on in (("--quick", given.quick), ("--without-peers", given.without_peers)) if on]
    options += [f"--size={size}" for size in given.size or ()]
    keep = given.into is not None or not (given.quick or given.without_peers)
    store = Store(given.into or ROOT / "docs")
    if given.assemble:
        for result in store.kept():
            store.save(result)
        store.assemble(names())
        print(store.page)
        return 0

    results, failures = [], {}
    for name, found in _run_all(given.name or names(), options):
        if isinstance(found, Failure):
            failures[name] = found
        result = store.load(name) if keep else Result(benchmark=name)
        results.append(result.failing(found.error, at=found.at) if isinstance(found, Failure) else found)
        if keep:  # one after the other: what is done stays if the next one is interrupted
            store.save(results[-1])
            store.assemble(names())
    if given.json:
        print(json.dumps([asdict(result) for result in results], indent=1, ensure_ascii=False))
    elif keep:
        print(store.page)
    else:
        print(page(results))
    for name, failure in failures.items():
        print(f"{name} failed: {failure.error}", file=sys.stderr)
    return int(bool(failures))


def _run_all(chosen: Sequence[str], options: Sequence[str]) -> Iterator[tuple[str, Result | Failure]]:
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        for name in chosen:
            task = progress.add_task(name, total=1)
            found = run(name, options, _teller(progress, task, name))
            failed = isinstance(found, Failure)
            progress.update(task, completed=1, description=f"{name}: {'failed' if failed else 'done'}")
            yield name, found


if __name__ == "__main__":
    raise SystemExit(main())
