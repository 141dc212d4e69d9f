"""When the next request may go: sustained rate, waits a service named, and budgets per hour and day.

Belongs here: the protocols and their in-process forms. Forms shared by processes live with the tables they need.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Protocol

HOUR = 3600.0
DAY = 86400.0


class Pacer(Protocol):
    """Spaces requests. Keys name a service and host; times are in seconds."""

    def reserve(self, key: str, *, interval: float, max_wait: float) -> float:
        """How long to wait before the next request. Above `max_wait` nothing was reserved: do not send."""
        ...

    def hold(self, key: str, seconds: float) -> None:
        """The service asked for silence: nobody in reach of this pacer sends before it ends."""
        ...


class RequestBudget(Protocol):
    """Counts requests against what a service allows per hour and day."""

    def spend(self, name: str, *, per_hour: int | None, per_day: int | None) -> float | None:
        """Take one request. None: granted; else the seconds until the budget allows one, and nothing was taken."""
        ...


class MemoryPacer:
    """One slot after another at even distance, for the threads of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}
        self._held: dict[str, float] = {}

    def reserve(self, key: str, *, interval: float, max_wait: float) -> float:
        """See `Pacer`. Slots are handed out in the order of the calls."""
        with self._lock:
            now = self._clock()
            slot = max(now, self._next.get(key, now), self._held.get(key, now))
            if slot - now <= max_wait and interval > 0:
                self._next[key] = slot + interval
            return slot - now

    def hold(self, key: str, seconds: float) -> None:
        """See `Pacer`. Longer than a day counts as a day: a slip of a server must not silence a process for ever."""
        with self._lock:
            self._held[key] = max(self._held.get(key, 0.0), self._clock() + min(seconds, DAY))


class MemoryBudget:
    """Sliding windows: never more than the budget in any 60 minutes or any 24 hours, in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: dict[tuple[str, float], deque[float]] = defaultdict(deque)

    def spend(self, name: str, *, per_hour: int | None, per_day: int | None) -> float | None:
        """See `RequestBudget`."""
        limits = [(HOUR, per_hour), (DAY, per_day)]
        with self._lock:
            now = self._clock()
            waits = [self._wait(name, window, limit, now) for window, limit in limits if limit is not None]
            if any(waits):
                return max(waits)
            for window, limit in limits:
                if limit is not None:
                    self._spent[name, window].append(now)
            return None

    def _wait(self, name: str, window: float, limit: int, now: float) -> float:
        times = self._spent[name, window]
        while times and times[0] <= now - window:
            times.popleft()
        return times[len(times) - limit] + window - now if len(times) >= limit else 0.0
