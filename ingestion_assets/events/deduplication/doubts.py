"""Links that a record cannot choose between, because it leaves open what its candidates differ in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingestion_assets.events.deduplication.blocks import FAR
from ingestion_assets.events.deduplication.conflicts import Conflict
from ingestion_assets.events.deduplication.links import Scored, connected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Ints


@dataclass(slots=True)
class Doubts:
    """By record: what it leaves open. A record that leaves much open must not choose between rivals."""

    timeless: NDArray[np.bool_]
    placeless: NDArray[np.bool_]
    labelled: NDArray[np.bool_]
    """Its title names a session or a part, so the day has more than one."""
    minute: Ints
    """Its start in minutes of the logical day, -1 when unknown."""


def undecided(pairs: Scored, doubts: Doubts, open_: NDArray[np.bool_], *, accept: float, margin: float) -> list[int]:
    """Positions of the open links that are to be left out. `accept` and `margin` are log-odds."""
    return [*_ambiguous(pairs, doubts, open_, accept, margin), *_unsaid(pairs, doubts, open_)]


def _unsaid(pairs: Scored, doubts: Doubts, open_: NDArray[np.bool_]) -> list[int]:
    """Links of a record without time and label, or across a shifted clock, among records that name sessions or parts."""
    import numpy as np

    label = connected(len(doubts.labelled), pairs, open_)
    several = np.bincount(label, weights=doubts.labelled, minlength=len(label)) > 0
    vague = doubts.timeless & ~doubts.labelled
    mute = vague[pairs.a] != vague[pairs.b]
    shifted = pairs.shifted & ~(doubts.labelled[pairs.a] & doubts.labelled[pairs.b])
    dropped: list[int] = np.flatnonzero(open_ & several[label[pairs.a]] & (mute | shifted)).tolist()
    return dropped


def _ambiguous(pairs: Scored, doubts: Doubts, open_: NDArray[np.bool_], accept: float, margin: float) -> list[int]:
    """Positions of the links of records that cannot choose: two of their links lead to what excludes each other.

    A record without a time cannot choose between two showings, one without a place not between two houses, one without
    a label not between two parts. Not only the runner-up is dropped: which of the two it is cannot be said.
    """
    import numpy as np

    size = len(doubts.timeless)
    code = pairs.a * size + pairs.b
    vague = doubts.timeless | doubts.placeless | ~doubts.labelled
    kept = np.flatnonzero((pairs.conflict == Conflict.NONE) & (pairs.odds >= accept - _PLAUSIBLE))
    ends = np.r_[pairs.a[kept], pairs.b[kept]]
    others = np.r_[pairs.b[kept], pairs.a[kept]]
    position = np.r_[kept, kept]
    chosen = vague[ends]
    ends, others, position = ends[chosen], others[chosen], position[chosen]
    order = np.lexsort((others, -pairs.odds[position], ends))
    ends, others, position = ends[order], others[order], position[order]
    rank = np.arange(len(ends)) - np.searchsorted(ends, ends, side="left")
    ends, others, position = (column[rank < _LOOKED_AT] for column in (ends, others, position))
    # Every two links of one record.
    last = np.searchsorted(ends, ends, side="right")
    count = last - np.arange(len(ends)) - 1
    one = np.repeat(np.arange(len(ends)), count)
    if not len(one):
        return []
    two = one + 1 + np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count)
    x, y = others[one], others[two]
    low, high = np.minimum(x, y), np.maximum(x, y)
    place = np.minimum(np.searchsorted(code, low * size + high), len(code) - 1)
    known = code[place] == low * size + high
    conflict = np.where(known, pairs.conflict[place], Conflict.NONE)
    against = known & (pairs.odds[place] < 0)
    # Two starts so far apart that the pair was not even compared.
    first, second = doubts.minute[x], doubts.minute[y]
    far = ~known & (first >= 0) & (second >= 0) & (np.abs(first - second) > FAR)
    record = ends[one]
    odds = pairs.odds[position]
    gap = np.abs(odds[one] - odds[two])
    placeless, labelled = doubts.placeless[record], doubts.labelled[record]
    timeless = doubts.timeless[record] & ~labelled
    barred = (conflict != Conflict.NONE) | against
    rival = (
        (timeless & (np.isin(conflict, _SHOWINGS) | far) & (gap < _TIMELESS_MARGIN))
        | (~labelled & np.isin(conflict, _LABELS) & (gap < _LABEL_MARGIN))
        | ((timeless | placeless) & barred & (gap < margin))
    )
    rival &= open_[position[one]] | open_[position[two]]
    torn = np.zeros(size, dtype=bool)
    torn[record[rival]] = True
    dropped: list[int] = np.flatnonzero(open_ & (torn[pairs.a] | torn[pairs.b])).tolist()
    return dropped


_LOOKED_AT = 12
"""Links of one record, the best of them, that are held against each other: bounds the work where a day repeats a title."""
_PLAUSIBLE = 1.0
"""Log-odds below `accept` down to which a link still counts as a rival of another."""
_TIMELESS_MARGIN = 3.0
_LABEL_MARGIN = 3.0
"""Log-odds by which a link must be ahead where a record without a time, or without a label, stands between two showings."""
_SHOWINGS = (Conflict.TIMES_APART, Conflict.SAME_SOURCE_TWO_TIMES, Conflict.SESSIONS_DIFFER, Conflict.PARTS_DIFFER)
_LABELS = (Conflict.PARTS_DIFFER, Conflict.SESSIONS_DIFFER)
