"""What the records around a pair say about it: a better match in the same source, a third record that vouches or objects.

Belongs here: the second look. The first score of a pair sees two records only; but a source lists an event once, so a
better candidate in the same source speaks against this one, and friends of friends are often friends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestion_assets.events.deduplication.columns import Batch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Floats, Ints

    Levels = NDArray[np.int8]

SECOND_LEVELS: dict[str, tuple[str, ...]] = {
    "rival": ("none", "far_behind", "behind", "close", "level", "ahead", "far_ahead"),
    "third": ("none", "vouches_strongly", "vouches", "divided", "objects", "objects_strongly"),
}
_FRIEND = 0.5
"""First log-odds from which a third record counts as a friend of one of the two."""
_SURE = 3.0
_OUT = -8.0
"""Log-odds that stand for a conflict."""


def second_levels(batch: Batch, a: Ints, b: Ints, odds: Floats, barred: NDArray[np.bool_]) -> dict[str, Levels]:
    """Levels of the second look for the pairs `(a, b)`, ascending, with their first log-odds. `barred`: in conflict."""
    import numpy as np

    value = np.where(barred, _OUT, np.clip(odds, _OUT, -_OUT))
    return {
        "rival": _rivals(batch, a, b, value),
        "third": _thirds(len(batch), a, b, value),
    }


def _rivals(batch: Batch, a: Ints, b: Ints, value: Floats) -> Levels:
    """How the best other match of either record in the other's source compares; the worse of both sides counts."""
    import numpy as np

    count = len(a)
    lead = np.full(count, np.inf)
    for one, two in ((a, b), (b, a)):
        ends, source = one, batch.source[two]
        # Both directions of every pair, because a record stands first in some pairs and second in others.
        every_end, every_source = np.r_[a, b], np.r_[batch.source[b], batch.source[a]]
        every_value, every_pair = np.r_[value, value], np.r_[np.arange(count), np.arange(count)]
        order = np.lexsort((every_pair, -every_value, every_source, every_end))
        code = every_end * (int(batch.source.max(initial=0)) + 1) + every_source
        sorted_code = code[order]
        wanted = ends * (int(batch.source.max(initial=0)) + 1) + source
        top = np.searchsorted(sorted_code, wanted)
        following = np.minimum(top + 1, len(order) - 1)
        is_top = every_pair[order[top]] == np.arange(count)
        has_second = (sorted_code[following] == wanted) & (following > top)
        second = np.where(has_second, every_value[order[following]], -np.inf)
        rival = np.where(is_top, second, every_value[order[top]])
        lead = np.minimum(lead, value - rival)
    steps = [np.isposinf(lead), lead > 6, lead > 2.5, lead > 0.75, lead > -0.75, lead > -2.5]
    return np.select(steps, [0, 1, 2, 3, 4, 5], default=6).astype(np.int8)


def _thirds(size: int, a: Ints, b: Ints, value: Floats) -> Levels:
    """Whether a friend of one of the two matches the other, or clearly does not."""
    import numpy as np

    code = a * size + b
    friends = np.flatnonzero(value >= _FRIEND)
    ends = np.r_[a[friends], b[friends]]
    others = np.r_[b[friends], a[friends]]
    bond = np.r_[value[friends], value[friends]]
    order = np.lexsort((others, ends))
    ends, others, bond = ends[order], others[order], bond[order]
    best = np.full(len(a), -np.inf)
    worst = np.full(len(a), np.inf)
    relevant = np.flatnonzero(value > -5.0)
    for one, two in ((a, b), (b, a)):
        begin = np.searchsorted(ends, one[relevant], side="left")
        count = np.searchsorted(ends, one[relevant], side="right") - begin
        pair = np.repeat(relevant, count)
        if not len(pair):
            continue
        row = np.repeat(begin - np.r_[0, np.cumsum(count)[:-1]], count) + np.arange(len(pair))
        third, target = others[row], two[pair]
        kept = third != target
        pair, row, third, target = pair[kept], row[kept], third[kept], target[kept]
        wanted = np.minimum(third, target) * size + np.maximum(third, target)
        place = np.minimum(np.searchsorted(code, wanted), len(code) - 1)
        # A third record that was not compared with the other has nothing to say.
        known = code[place] == wanted
        pair, says = pair[known], value[place[known]]
        bonded = bond[row[known]]
        np.maximum.at(best, pair, np.minimum(bonded, says))
        sure = bonded >= 1.5
        np.minimum.at(worst, pair[sure], says[sure])
    vouched, objected = best >= _FRIEND, worst <= -1.5
    return np.select(
        [vouched & objected, best >= _SURE, vouched, worst <= -5.0, objected], [3, 1, 2, 5, 4], default=0
    ).astype(np.int8)
