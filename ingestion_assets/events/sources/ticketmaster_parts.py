"""Ticketmaster's 1,000-item limit as arithmetic: parts of a window, and the count of what was received of each.

Belongs here: pure values. Asking the service is in `ticketmaster_api.py`, the order of questions in `ticketmaster.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from ingestion_assets.events.model import Json
from ingestion_assets.events.sources.fields import identifier

MINUTE = 60
_PART_SIZE = 600
"""Events to aim for in a part, three full pages: evenings are fuller than mornings, and a part over the cap costs a
request that brings nothing."""
_MAX_PARTS = 48


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the whole that one query stands for."""

    begin: int | None = None
    """First second, epoch."""
    end: int | None = None
    """Last second, inclusive, as the API takes it."""
    undated: str | None = None
    """`includeTBA` or `includeTBD`, for the events without a date."""
    segment: str | None = None
    venue: str | None = None

    def params(self) -> dict[str, str]:
        """The query parameters that select the part."""
        chosen = {self.undated: "only"} if self.undated is not None else {"includeTBA": "no", "includeTBD": "no"}
        if self.begin is not None and self.end is not None:
            chosen |= {"startDateTime": _written(self.begin), "endDateTime": _written(self.end)}
        if self.segment is not None:
            chosen["segmentId"] = self.segment
        if self.venue is not None:
            chosen["venueId"] = self.venue
        return chosen

    def by_time(self, total: int) -> list[Part]:
        """Shorter parts that together are this one, for `total` events; none when it is a minute or has no dates."""
        if self.begin is None or self.end is None:
            return []
        minutes = (self.end - self.begin + 1) // MINUTE
        if minutes < 2:
            return []
        pieces = min(minutes, _MAX_PARTS, max(2, math.ceil(total / _PART_SIZE)))
        step = math.ceil(minutes / pieces) * MINUTE
        return [
            replace(self, begin=begin, end=min(begin + step - 1, self.end))
            for begin in range(self.begin, self.end + 1, step)
        ]

    def __str__(self) -> str:
        if self.begin is None or self.end is None:
            words = f"events without a date ({self.undated})"
        else:
            words = f"{_written(self.begin)} to {_written(self.end)}"
        words += f", segment {self.segment}" if self.segment else ""
        return words + (f", venue {self.venue}" if self.venue else "")


@dataclass(slots=True)
class Tally:
    """What was received of one part, so that nothing is taken twice and a shortfall is seen."""

    above: Tally | None = None
    """The tally of the part that this one is cut from: what is new here may not be new there."""
    seen: set[str] = field(default_factory=set)
    nameless: int = 0

    @property
    def received(self) -> int:
        """Distinct records of this part so far."""
        return len(self.seen) + self.nameless

    def fresh(self, items: Sequence[Json], *, nameless: bool) -> list[Json]:
        """The items that no tally has seen. Those without an id are all alike: `nameless` says whether to take them."""
        taken: list[Json] = []
        for item in items:
            key = identifier(item.get("id")) if isinstance(item, dict) else None
            if key is None:
                if nameless:
                    self._count_nameless()
                    taken.append(item)
            elif self._register(key):
                taken.append(item)
        return taken

    def _register(self, key: str) -> bool:
        if key in self.seen:
            return False
        self.seen.add(key)
        return self.above is None or self.above._register(key)

    def _count_nameless(self) -> None:
        self.nameless += 1
        if self.above is not None:
            self.above._count_nameless()


def _written(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
