"""For how long a watcher has itself seen the same heartbeat, on a clock that stands still while the machine sleeps.

The wall clock alone proves nothing: when it is set, or a laptop wakes up, all stamps are an hour old at once, and whoever
looks before the first beat would call the living dead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from datetime import timedelta
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

BY_HAND = timedelta.max
"""For who looks once, because a person asked: the wall clock has to do."""


class Sightings:
    """What one watcher saw at its last look. Kept in memory only: a new process watches anew."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: Mapping[Hashable, tuple[object, float]] = {}

    def unchanged(self, stamps: Mapping[K, object]) -> dict[K, timedelta]:
        """For how long each has had its stamp at every look: nothing at the first one. Who is missing is forgotten."""
        now = self._clock()
        seen: dict[Hashable, tuple[object, float]] = {}
        for key, stamp in stamps.items():
            before = self._seen.get(key)
            seen[key] = before if before is not None and before[0] == stamp else (stamp, now)
        self._seen = seen
        return {key: timedelta(seconds=now - seen[key][1]) for key in stamps}
