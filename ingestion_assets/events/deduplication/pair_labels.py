"""What two titles say about their listings, as levels: sessions, parts, publics, things sold beside.

Belongs here: labels. What the titles have in common as words belongs to `pair_titles`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingestion_assets.events.deduplication.columns import Batch, distinct
from ingestion_assets.events.deduplication.levels import LEVELS
from ingestion_assets.events.deduplication.pair_titles import Overlap, spelling_of
from ingestion_assets.events.deduplication.title_units import parts_contradict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Ints

    Levels = NDArray[np.int8]
    Mask = NDArray[np.bool_]


def label_levels(batch: Batch, a: Ints, b: Ints, overlap: Overlap) -> dict[str, Levels]:
    import numpy as np

    parsed = batch.parsed
    addon_a, addon_b = parsed["addons"][a], parsed["addons"][b]
    umbrella = parsed["umbrella"][a] + parsed["umbrella"][b]
    low, high = np.minimum(*overlap.rest), np.maximum(*overlap.rest)
    parts = _sets(batch, parsed["parts"], a, b)
    for i in np.flatnonzero(parts == 3).tolist():
        if not parts_contradict(batch.sets[int(parsed["parts"][a[i]])], batch.sets[int(parsed["parts"][b[i]])]):
            parts[i] = 2
    day_parts = np.zeros(len(batch.sets), dtype=bool)
    for code in distinct(np.r_[parsed["parts"][a], parsed["parts"][b]]).tolist():
        day_parts[code] = any(word in ("day", "weekday") for word, _ in batch.sets[code])
    one_sided_day = (parts == 2) & day_parts[np.maximum(parsed["parts"][a], parsed["parts"][b])]
    # `Day 2` and `Sunday` of one date are one day, said in two ways.
    both_of_a_day = (parsed["of_a_day"][a] > 0) & (parsed["of_a_day"][b] > 0)
    parts = np.where(parts == 3, 4, np.where(one_sided_day, np.where(both_of_a_day, 1, 3), parts))
    said: dict[str, Levels] = {
        "names": (parsed["name"][a] + parsed["name"][b]).astype(np.int8),
        "numbers": _sets(batch, parsed["numbers"], a, b),
        "parts": parts.astype(np.int8),
        "sessions": _sessions(batch, a, b),
        # `X plays Y` (2) may be a tribute (1), or a recital that the other title words otherwise.
        "tribute": (parsed["tribute"][a] + parsed["tribute"][b] == 1).astype(np.int8),
        "addon": np.select(
            [(addon_a == 0) & (addon_b == 0), addon_a == addon_b, (addon_a > 0) & (addon_b > 0)], [0, 1, 2], default=3
        ).astype(np.int8),
        "umbrella": np.select(
            [umbrella == 0, (umbrella == 2) & (high < 4.0), umbrella == 2, low < 0.5], [0, 1, 2, 4], default=3
        ).astype(np.int8),
        "kind": _sets(batch, parsed["kinds"], a, b),
        "public": _publics(batch, a, b),
        "support": _sets(batch, parsed["support"], a, b),
        "beside": _sets(batch, parsed["secondary"], a, b),
    }
    # A label that one title lacks because it is misspelt there (`for Kdis`), or because the lexicon knows it in one
    # language only.
    misspelt = _misspelt(batch, a, b)
    # `Introduction to X`, and a course of X: as often as not the same.
    said["public"][(parsed["introductory"][a] != parsed["introductory"][b]) & (said["public"] == 2)] = 0
    everyone = np.asarray([said == {"all_levels"} for said in batch.sets], dtype=bool)
    mere = everyone[np.maximum(parsed["publics"][a], parsed["publics"][b])]
    said["public"][mere & (said["public"] == 2)] = 0
    for name in ("public", "beside", "kind", "sessions", "addon"):
        levels = LEVELS[name]
        forgiven = misspelt if name == "addon" else misspelt | overlap.meant
        if name == "beside":
            # `Workshop: Genealogy for Beginners`: nothing has a name that a workshop could be beside.
            form_only = np.asarray([bool(said) and said <= _MERE_FORMS for said in batch.sets], dtype=bool)
            form = form_only[
                np.maximum(parsed["secondary"][a], parsed["secondary"][b])
            ]  # of the one that says something
            forgiven = forgiven | (form & (overlap.shared > 0) & ~overlap.names)
        said[name][forgiven & (said[name] == levels.index("one_side"))] = levels.index("none")
    return said


_MERE_FORMS = frozenset({"workshop"})
"""What some sources call all that is on in a library, and others leave out."""


def _misspelt(batch: Batch, a: Ints, b: Ints) -> Mask:
    """Whole titles of about one length that differ by a letter or two."""
    import numpy as np

    length = np.asarray([len(raw) for raw in batch.raws], dtype=np.int64)
    one, two = length[batch.raw[a]], length[batch.raw[b]]
    result: Mask = (batch.raw[a] != batch.raw[b]) & (np.abs(one - two) <= 2)
    rows = np.flatnonzero(result)
    if len(rows):
        result[rows] = spelling_of(batch.raws, batch.raw[a[rows]], batch.raw[b[rows]]) >= _TYPO
    return result


_TYPO = 85.0


def _publics(batch: Batch, a: Ints, b: Ints) -> Levels:
    """As `_sets`; where one title names a public besides the common one (`for kids, intermediate`), it speaks alone."""
    import numpy as np

    column = batch.parsed["publics"]
    level = _sets(batch, column, a, b)
    return np.where((level == 1) & (column[a] != column[b]), np.int8(2), level).astype(np.int8)


def _sessions(batch: Batch, a: Ints, b: Ints) -> Levels:
    """As `_sets`, and whether one title's label goes with the other record's clock, as if unsaid, or against it."""
    import numpy as np

    column = batch.parsed["sessions"]
    sets = _sets(batch, column, a, b)
    level = np.where(sets == 3, 4, sets)
    for label, other in ((a, b), (b, a)):
        for i in np.flatnonzero((level == 2) & (column[label] > 0) & (batch.minute[other] >= 0)).tolist():
            clock = int(batch.minute[other[i]])
            names = batch.sets[int(column[label[i]])]
            hours = [_HOURS[name] for name in names if name in _HOURS]
            if hours and not any(begin <= clock < end for begin, end in hours):
                level[i] = 3
            elif hours:
                level[i] = 0
    return level.astype(np.int8)


_HOURS = {
    "morning": (5 * 60, 13 * 60),
    "matinee": (10 * 60, 18 * 60),
    "night": (17 * 60, 30 * 60),
}
"""When a session can begin, generously, in minutes of the logical day."""


def _sets(batch: Batch, column: Ints, a: Ints, b: Ints) -> Levels:
    """0: neither says anything, 1: they share something, 2: one says something, 3: both do and share nothing."""
    import numpy as np

    one, two = column[a], column[b]
    level = np.where((one == 0) & (two == 0), 0, np.where((one == 0) | (two == 0), 2, np.where(one == two, 1, 3)))
    open_ = np.flatnonzero(level == 3)
    if len(open_):
        codes, back = np.unique(one[open_] * len(batch.sets) + two[open_], return_inverse=True)
        meet = np.asarray(
            [bool(batch.sets[c // len(batch.sets)] & batch.sets[c % len(batch.sets)]) for c in codes.tolist()]
        )
        level[open_[meet[back]]] = 1
    return level.astype(np.int8)
