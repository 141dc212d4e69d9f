"""Files that people name for results: refused before any work when they cannot be written, replaced whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from ingestion_assets.cli.console import complain


def check_output(path: Path, *, inputs: Iterable[Path] = ()) -> None:
    """Raises `typer.BadParameter` where `path` can be no output, or is one of the `inputs`, which have to stay."""
    if not path.resolve().parent.is_dir():
        raise typer.BadParameter(f"the folder of {path.name} does not exist: create it first")
    if path.exists() and not path.is_file():
        raise typer.BadParameter(f"{path} is a folder or a device: name a file to write to")
    if path.resolve() in [given.resolve() for given in inputs]:
        raise typer.BadParameter(f"{path} is named twice, and would be overwritten: name another file to write to")


@contextmanager
def replaced(path: Path, *, inputs: Iterable[Path] = (), keep: bool = False) -> Iterator[Path]:
    """A file beside `path`, there from the start, that takes its place at the end; after an error `path` is as it was.

    With `keep` an error leaves it, and says where, if anything was written: answers that were paid for. Raises
    `typer.BadParameter` when `path` cannot be written.
    """
    check_output(path, inputs=inputs)
    place = path.resolve()  # of a link, what it leads to is replaced and not the link
    partial = place.with_name(f".{place.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.touch(exist_ok=False)
        _keep_mode(place, partial)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}") from error
    try:
        yield partial
        _keep_mode(place, partial)  # once more: whoever wrote to it may have replaced it too
        partial.replace(place)
    except BaseException:
        if keep and partial.exists() and partial.stat().st_size:
            complain(f"ended early: {path} is as it was, and what was done is in {partial}")
        else:
            partial.unlink(missing_ok=True)
        raise


def _keep_mode(place: Path, partial: Path) -> None:
    if place.exists():
        shutil.copymode(place, partial)
