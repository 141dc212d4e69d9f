"""How far the work of this process is, for whoever watches it (a terminal). Runs in other processes log instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, str], None]

_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener(name, text)` for every report within the context."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def report(name: str, text: str) -> None:
    """Say how far the work called `name` is."""
    for listener in _listeners:
        listener(name, text)
