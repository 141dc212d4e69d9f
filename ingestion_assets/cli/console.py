"""Where progress goes: standard error, so that standard output holds results alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ingestion_assets.progress import listening

stderr = Console(stderr=True)


def complain(problem: str) -> None:
    """Say on standard error what went wrong, in one line of its own: logs are searched line by line."""
    stderr.print(f"✗ {problem}", style="red", markup=False, highlight=False, soft_wrap=True)


def remark(text: str) -> None:
    """Say on standard error what somebody should look at although the work succeeded."""
    stderr.print(f"! {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_on_stderr(title: str) -> Iterator[None]:
    """A line that grows while assets of this process work; on a terminal only."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
        task = progress.add_task(f"{title}: starting", total=None)

        def show(name: str, text: str) -> None:
            progress.update(task, description=f"{name}: {text}")

        with listening(show):
            yield
