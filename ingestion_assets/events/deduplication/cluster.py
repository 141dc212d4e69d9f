"""From scored pairs to clusters: best link first, and a union only where nothing speaks against it.

A link joins two groups when no pair across them is in conflict and the scores of all pairs across them add up in
favour. So one good link cannot drag two groups together against several bad ones, which is how chains of showings
with one title used to become one event. Pairs never reach across logical days, hence neither do clusters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingestion_assets.events.deduplication.conflicts import Conflict
from ingestion_assets.events.deduplication.doubts import Doubts, undecided
from ingestion_assets.events.deduplication.links import Scored, connected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Ints

_CLIP = 8.0
"""No single pair counts for more than these log-odds when the pairs between two groups are added up."""


@dataclass(slots=True)
class Grouping:
    """`label[i]` is the smallest member index of record i's group; `refused` maps pair positions to reasons."""

    label: Ints
    refused: dict[int, Conflict] = field(default_factory=dict)


def group(
    pairs: Scored,
    doubts: Doubts,
    *,
    accept: float,
    margin: float,
    largest: int,
    forced: Sequence[tuple[int, int]] = (),
) -> Grouping:
    """Group the records. `accept` and `margin` are log-odds, `forced` pairs are united before anything else.

    A record that leaves open what its candidates differ in joins none of them (`doubts`). A wrong merge hides an event,
    a missed one only repeats it.
    """
    import numpy as np

    size = len(doubts.timeless)
    open_ = (pairs.odds >= accept) & (pairs.conflict == Conflict.NONE)
    refused: dict[int, Conflict] = {}
    for position in np.flatnonzero((pairs.odds >= accept) & (pairs.conflict != Conflict.NONE)).tolist():
        refused[position] = Conflict(int(pairs.conflict[position]))
    free = _forced_pairs(pairs, forced)
    for position in undecided(pairs, doubts, open_, accept=accept, margin=margin):
        if position not in free:
            refused[position] = Conflict.AMBIGUOUS
            open_[position] = False
    result = connected(size, pairs, open_, forced)
    _settle(result, pairs, open_, refused, largest=largest, forced=forced)
    return Grouping(result, refused)


def _forced_pairs(pairs: Scored, forced: Sequence[tuple[int, int]]) -> set[int]:
    if not forced:
        return set()
    wanted = {(min(pair), max(pair)) for pair in forced}
    return {i for i, pair in enumerate(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)) if pair in wanted}


def _settle(
    label: Ints,
    pairs: Scored,
    open_: NDArray[np.bool_],
    refused: dict[int, Conflict],
    *,
    largest: int,
    forced: Sequence[tuple[int, int]],
) -> None:
    """Split the components that contain a contradiction. Components whose every pair agrees stay as they are."""
    import numpy as np

    inside = label[pairs.a] == label[pairs.b]
    bad = inside & ~open_
    sizes = np.bincount(label, minlength=len(label))
    doubtful = set(label[pairs.a[bad]].tolist()) | set(np.flatnonzero(sizes > largest).tolist())
    expected = sizes * (sizes - 1) // 2
    seen = np.bincount(label[pairs.a[inside]], minlength=len(label))
    doubtful |= set(np.flatnonzero(seen < expected).tolist())
    if not doubtful:
        return
    touched = np.zeros(len(label), dtype=bool)
    touched[sorted(doubtful)] = True
    positions: dict[int, list[int]] = defaultdict(list)
    for position in np.flatnonzero(inside & touched[label[pairs.a]]).tolist():
        positions[int(label[pairs.a[position]])].append(position)
    unions: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for one, two in forced:
        unions[int(label[one])].append((one, two))
    members: dict[int, list[int]] = defaultdict(list)
    for i in np.flatnonzero(touched[label]).tolist():
        members[int(label[i])].append(i)
    for component in sorted(doubtful):
        _agglomerate(label, members[component], positions[component], pairs, open_, refused, largest, unions[component])


def _agglomerate(
    label: Ints,
    members: list[int],
    positions: list[int],
    pairs: Scored,
    open_: NDArray[np.bool_],
    refused: dict[int, Conflict],
    largest: int,
    forced: list[tuple[int, int]],
) -> None:
    """Greedy union inside one component, best link first; ties by record order, which is the order of keys."""
    odds = {(int(pairs.a[p]), int(pairs.b[p])): (float(pairs.odds[p]), int(pairs.conflict[p])) for p in positions}
    groups: dict[int, list[int]] = {i: [i] for i in members}
    home = {i: i for i in members}
    waived = {(min(pair), max(pair)) for pair in forced}

    def unite(one: int, two: int) -> None:
        keep, gone = sorted((home[one], home[two]))
        for i in groups[gone]:
            home[i] = keep
        groups[keep] += groups.pop(gone)

    mates: dict[int, set[int]] = {}
    for one, two in forced:
        both = mates.get(one, {one}) | mates.get(two, {two})
        mates.update(dict.fromkeys(both, both))

    def vouched(i: int, j: int) -> bool:
        """A person said that one of the two is the same as a third record, and that one matches the other."""
        pairs_ = ((min(x, y), max(x, y)) for x in mates.get(i, {i}) for y in mates.get(j, {j}))
        return bool(mates) and any(odds.get(p, (0.0, 1))[1] == 0 and odds.get(p, (0.0, 1))[0] > 0 for p in pairs_)

    def objection(one: int, two: int) -> Conflict:
        left, right = groups[home[one]], groups[home[two]]
        if len(left) + len(right) > largest:
            return Conflict.TOO_LARGE
        total = 0.0
        for i in left:
            for j in right:
                pair = (i, j) if i < j else (j, i)
                if pair in waived:
                    continue
                value, conflict = odds.get(pair, (0.0, 0))
                if conflict and conflict != Conflict.SPLIT_BY_PERSON and vouched(i, j):
                    continue
                if conflict:
                    return Conflict(conflict)
                total += min(max(value, -_CLIP), _CLIP)
        return Conflict.NONE if total > 0 else Conflict.OUTVOTED

    for one, two in forced:
        if home[one] != home[two]:
            unite(one, two)
    for position in sorted(
        (p for p in positions if open_[p]),
        key=lambda p: (-round(float(pairs.odds[p]), 9), int(pairs.a[p]), int(pairs.b[p])),
    ):
        one, two = int(pairs.a[position]), int(pairs.b[position])
        if home[one] == home[two]:
            continue
        reason = objection(one, two)
        if reason is Conflict.NONE:
            unite(one, two)
        else:
            refused[position] = reason
    for i in members:
        label[i] = min(groups[home[i]])
