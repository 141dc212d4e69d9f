"""Where progress goes: standard error, so that standard output holds results alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ingestion_assets.progress import Listener, listening

stderr = Console(stderr=True)
LINE_EVERY = 10.0
"""Seconds between two lines of progress in a file or a pipe, where none can grow: a log should not fill with them."""


def complain(problem: str) -> None:
    """Say on standard error what went wrong, in one line of its own: logs are searched line by line."""
    stderr.print(f"✗ {problem}", style="red", markup=False, highlight=False, soft_wrap=True)


def remark(text: str) -> None:
    """Say on standard error what somebody should look at although the work succeeded."""
    stderr.print(f"! {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_on_stderr(title: str) -> Iterator[None]:
    """How far assets of this process are: a line that grows on a terminal, elsewhere a line now and then."""
    if not stderr.is_terminal:
        with _now_and_then() as listener, listening(listener):
            yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=stderr, transient=True) as progress:
        task = progress.add_task(f"{title}: starting", total=None)

        def show(name: str, text: str) -> None:
            progress.update(task, description=f"{name}: {text}")

        with listening(show):
            yield


@contextmanager
def _now_and_then() -> Iterator[Listener]:
    """A listener that writes the first report, one every `LINE_EVERY` seconds, and the last."""
    due = time.monotonic()
    unsaid: str | None = None

    def write(line: str) -> None:
        stderr.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(name: str, text: str) -> None:
        nonlocal due, unsaid
        unsaid = f"{name}: {text}"
        if time.monotonic() >= due:
            write(unsaid)
            due, unsaid = time.monotonic() + LINE_EVERY, None

    try:
        yield show
    finally:
        if unsaid is not None:
            write(unsaid)
