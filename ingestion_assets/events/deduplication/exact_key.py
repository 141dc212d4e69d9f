"""The exact key: one whole title, one day, one known venue. No weight may talk such a pair apart.

A model learns from the corpora it was fitted on, and what it makes of a plain repeat in another city's feeds is chance;
people, though, would see the same line twice. So the key sets a floor under the score. Conflicts refuse it all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Batch, Floats, Ints

FLOOR = 3.0
"""Log-odds, 95 %."""
NEAR = 35
"""Minutes between two clocks that still mean one start: doors and show."""


def at_least(odds: Floats, batch: Batch, a: Ints, b: Ints) -> Floats:
    """`odds` of the pairs, raised to `FLOOR` where the two records share the exact key."""
    import numpy as np

    return np.where(shared(batch, a, b), np.maximum(odds, FLOOR), odds)


def shared(batch: Batch, a: Ints, b: Ints) -> NDArray[np.bool_]:
    """Pairs of two sources with one key and times that do not contradict each other.

    Only where no source lists the key twice: then it is a matinee and an evening, and the title decides nothing.
    """
    import numpy as np

    _, group = np.unique(np.stack([batch.raw, batch.alias, batch.day], axis=1), axis=0, return_inverse=True)
    _, first = np.unique(np.stack([group, batch.source], axis=1), axis=0, return_index=True)
    again = np.ones(len(batch), dtype=np.bool_)
    again[first] = False
    crowded = np.isin(group, group[again])
    one, two = batch.minute[a], batch.minute[b]
    near = (one < 0) | (two < 0) | (np.abs(one - two) <= NEAR)
    same: NDArray[np.bool_] = (group[a] == group[b]) & (batch.alias[a] >= 0) & (batch.source[a] != batch.source[b])
    return np.asarray(same & near & ~crowded[a], dtype=np.bool_)
