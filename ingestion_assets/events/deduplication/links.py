"""Scored pairs of records, and which records they connect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Floats, Ints


@dataclass(slots=True)
class Scored:
    """Pairs with their log-odds and conflicts, ascending by `(a, b)`, each once, a < b."""

    a: Ints
    b: Ints
    odds: Floats
    conflict: NDArray[np.int8]
    shifted: NDArray[np.bool_]
    """The two starts agree only if one clock is taken for wrong."""


def components(size: int, a: Sequence[int], b: Sequence[int]) -> list[int]:
    """For each of `size` records the smallest index it is connected to."""
    parent = list(range(size))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for one, two in zip(a, b, strict=True):
        x, y = root(one), root(two)
        if x != y:
            parent[max(x, y)] = min(x, y)
    return [root(i) for i in range(size)]


def connected(size: int, pairs: Scored, open_: NDArray[np.bool_], forced: Sequence[tuple[int, int]] = ()) -> Ints:
    """For each record the smallest index it is connected to by open or forced pairs."""
    import numpy as np

    edges = np.flatnonzero(open_)
    a, b = pairs.a[edges].tolist(), pairs.b[edges].tolist()
    return np.asarray(components(size, [*a, *(i for i, _ in forced)], [*b, *(j for _, j in forced)]), dtype=np.int64)
