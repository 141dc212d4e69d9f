"""Pair F1 of labels, and connected components, with the standard library only: peers' environments import this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence


def pair_f1(truth: Mapping[int, Hashable], label: Mapping[int, Hashable]) -> float:
    """F1 over pairs of records that share a cluster."""
    both = _pairs((truth[key], label[key]) for key in truth)
    wanted, found = _pairs(truth.values()), _pairs(label[key] for key in truth)
    return 2 * both / (wanted + found) if wanted + found else 1.0


def _pairs(labels: Iterable[Hashable]) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(labels).values())


def best_threshold(truth: Mapping[int, Hashable], found: Sequence[tuple[float, Mapping[int, Hashable]]]) -> float:
    """The threshold with the best pair F1."""
    return max(found, key=lambda item: pair_f1(truth, item[1]))[0]


def connected(keys: Iterable[int], pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """The smallest key that each is connected to."""
    parent = {key: key for key in keys}

    def root(key: int) -> int:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for one, two in pairs:
        x, y = root(one), root(two)
        if x != y:
            parent[max(x, y)] = min(x, y)
    return {key: root(key) for key in parent}
