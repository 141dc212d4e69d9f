"""Garbage collection while records stream through: rarely, because records are trees, which need none.

Python looks for cycles after every 700 new containers; a batch of records is some hundred thousand of them, all alive
until it is stored, and every look walks through them in vain. Reference counts free them as soon as the batch goes.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLD = 250_000
"""Containers before a look for cycles: more than a batch and its page hold, and what cycles there are (an HTTP
client's, a parser's) cannot hold more memory than a batch does."""

_lock = threading.Lock()
_usual: tuple[int, int, int] | None = None
_users = 0


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for cycles rarely while the body runs, in all threads of the process. Bodies may overlap.

    A process that has switched collection off, or made it rarer yet, is left as it is.
    """
    global _usual, _users  # noqa: PLW0603 - the threshold is the process's, and so is its bookkeeping
    with _lock:
        _users += 1
        if _users == 1:
            _usual = gc.get_threshold()
            if 0 < _usual[0] < THRESHOLD:
                gc.set_threshold(THRESHOLD, *_usual[1:])
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _usual is not None:
                gc.set_threshold(*_usual)
                _usual = None
