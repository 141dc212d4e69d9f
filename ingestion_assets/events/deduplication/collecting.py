"""Python's search for reference cycles, put off while millions of small values without any are made.

It walks all that is alive again and again: measured, half of the time that resolving thirty thousand records takes.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_cycles_sought() -> Iterator[None]:
    """Without the search, for as long as the context lasts. May be nested."""
    wanted = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if wanted:
            gc.enable()
