"""A circuit breaker: after too many outages in a row of calls, nothing is sent for a while, then one call tries.

Counts what the transport did (timeouts, resets, 5xx). Refusals for pace or quota have their own clocks, and a bad
answer proves that the provider is up.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable


class Breaker:
    """Closed, open, or half open with one call under way. For one event loop."""

    def __init__(
        self,
        *,
        window: int = 20,
        share: float = 0.5,
        minimum: int = 10,
        cooldown: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outcomes: deque[bool] = deque(maxlen=window)
        self._share = share
        # Below this many calls a few resets at the start would look like an outage.
        self._minimum = minimum
        self._cooldown = cooldown
        self._clock = clock
        self._open_until: float | None = None
        self._trying = False

    @property
    def closed_in(self) -> float:
        """Seconds until a call may be tried; 0 when calls go through."""
        if self._open_until is None:
            return 0.0
        wait = self._open_until - self._clock()
        if wait > 0:
            return wait
        # Half open: one call is trying. Its verdict comes within a call's timeout; come back a little later.
        return 1.0 if self._trying else 0.0

    def enter(self) -> bool:
        """Whether a call may be sent now. True must be followed by `succeeded`, `failed` or `unknown`."""
        if self._open_until is None:
            return True
        if self.closed_in > 0:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """The provider answered, whatever the answer was."""
        if self._open_until is not None:
            self._open_until = None
            self._outcomes.clear()
        self._trying = False
        self._outcomes.append(True)

    def failed(self) -> None:
        """The provider could not be reached, or said that it is broken."""
        self._outcomes.append(False)
        failures = self._outcomes.count(False)
        enough = len(self._outcomes) >= self._minimum and failures >= self._share * len(self._outcomes)
        if self._trying or enough:
            self._open_until = self._clock() + self._cooldown
        self._trying = False

    def unknown(self) -> None:
        """The call ended without a verdict: it was cancelled."""
        self._trying = False
