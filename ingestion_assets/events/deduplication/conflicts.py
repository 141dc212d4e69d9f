"""What keeps two records apart whatever their score: facts that cannot both be true of one event.

A label on one side only is evidence and weighs in the score; only two labels that contradict each other are here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from ingestion_assets.events.deduplication.blocks import plausible_times
from ingestion_assets.events.deduplication.prepare import Batch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.prepare import Ints


class Conflict(IntEnum):
    """Why a union is refused."""

    NONE = 0
    SPLIT_BY_PERSON = 1
    SESSIONS_DIFFER = 2
    PARTS_DIFFER = 3
    ADDON = 4
    TIMES_APART = 5
    SAME_SOURCE_TWO_TIMES = 6
    DAYS_APART = 7
    AMBIGUOUS = 8
    OUTVOTED = 9
    TOO_LARGE = 10
    NOTHING_IN_COMMON = 12
    """No word and hardly a letter shared, and no translation either: a name is not translated, nor is one language."""
    SAME_SOURCE_LISTS_BOTH = 11
    """One source lists two things that do not look like one: it knows them to be two."""

    @property
    def label(self) -> str:
        return self.name.lower()


def conflicts(batch: Batch, a: Ints, b: Ints) -> NDArray[np.int8]:
    """The first conflict of each pair, `Conflict.NONE` where there is none. Overrides are not considered here."""
    import numpy as np

    one, two = batch.minute[a], batch.minute[b]
    # A source that lists one title with a time and once more with another, or without one, means two showings.
    twice = (batch.source[a] == batch.source[b]) & (one != two)
    return np.select(
        [
            batch.day[a] != batch.day[b],
            _contradict(batch, "sessions", a, b),
            _contradict(batch, "parts", a, b),
            (batch.parsed["addons"][a] > 0) != (batch.parsed["addons"][b] > 0),
            ~plausible_times(batch, a, b),
            twice,
        ],
        [
            Conflict.DAYS_APART,
            Conflict.SESSIONS_DIFFER,
            Conflict.PARTS_DIFFER,
            Conflict.ADDON,
            Conflict.TIMES_APART,
            Conflict.SAME_SOURCE_TWO_TIMES,
        ],
        default=Conflict.NONE,
    ).astype(np.int8)


def _contradict(batch: Batch, name: str, a: Ints, b: Ints) -> NDArray[np.bool_]:
    """Both say something, and nothing that they say is the same."""
    import numpy as np

    one, two = batch.parsed[name][a], batch.parsed[name][b]
    result = (one > 0) & (two > 0) & (one != two)
    for i in np.flatnonzero(result).tolist():
        result[i] = not batch.sets[int(one[i])] & batch.sets[int(two[i])]
    return np.asarray(result)
