"""How long to wait before looking again: soon after work, later and later while there is none."""

from __future__ import annotations

from dataclasses import dataclass, field

FACTOR = 1.5


@dataclass(slots=True)
class AdaptivePolling:
    """Waits of 2, 3, 4.5 … 30 s; back to the first one as soon as there is work."""

    first: float = 2.0
    """Seconds."""
    longest: float = 30.0
    """Seconds."""
    _current: float | None = field(default=None)

    @property
    def interval(self) -> float:
        """Seconds until the next look."""
        return self.first if self._current is None else self._current

    def found_work(self) -> None:
        """There was work: look again soon."""
        self._current = None

    def found_nothing(self) -> None:
        """The queue was empty: the wait after this one is longer."""
        self._current = next_interval(self.interval, found_work=False, first=self.first, longest=self.longest)


def next_interval(interval: float, *, found_work: bool, first: float = 2.0, longest: float = 30.0) -> float:
    """The wait, in seconds, that follows a look after a wait of `interval`."""
    return first if found_work else min(max(interval, first) * FACTOR, longest)
