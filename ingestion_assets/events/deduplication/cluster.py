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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.prepare import Floats, Ints

_CLIP = 8.0
"""No single pair counts for more than these log-odds when the pairs between two groups are added up."""


@dataclass(slots=True)
class Scored:
    """Pairs with their log-odds and conflicts, ascending by `(a, b)`, each once, a < b."""

    a: Ints
    b: Ints
    odds: Floats
    conflict: NDArray[np.int8]
    shifted: NDArray[np.bool_]
    """The two starts agree only if one clock is taken for wrong."""


@dataclass(slots=True)
class Doubts:
    """By record: what it leaves open. A record that leaves much open must not choose between rivals."""

    timeless: NDArray[np.bool_]
    placeless: NDArray[np.bool_]
    labelled: NDArray[np.bool_]
    """Its title names a session or a part, so the day has more than one."""


@dataclass(slots=True)
class Grouping:
    """`label[i]` is the smallest member index of record i's group; `refused` maps pair positions to reasons."""

    label: Ints
    refused: dict[int, Conflict] = field(default_factory=dict)


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

    A record without a time or a place whose two best links lead to records that exclude each other, with less than
    `margin` between them, joins neither; nor does one without a time where others name sessions or parts and it does
    not. A wrong merge hides an event, a missed one only repeats it.
    """
    import numpy as np

    size = len(doubts.timeless)
    open_ = (pairs.odds >= accept) & (pairs.conflict == Conflict.NONE)
    refused: dict[int, Conflict] = {}
    for position in np.flatnonzero((pairs.odds >= accept) & (pairs.conflict != Conflict.NONE)).tolist():
        refused[position] = Conflict(int(pairs.conflict[position]))
    free = _forced_pairs(pairs, forced)
    for position in (*_ambiguous(pairs, doubts, open_, margin), *_unsaid(pairs, doubts, open_)):
        if position not in free:
            refused[position] = Conflict.AMBIGUOUS
            open_[position] = False
    result = _components(size, pairs, open_, forced)
    _settle(result, pairs, open_, refused, largest=largest, forced=forced)
    return Grouping(result, refused)


def _components(size: int, pairs: Scored, open_: NDArray[np.bool_], forced: Sequence[tuple[int, int]] = ()) -> Ints:
    import numpy as np

    edges = np.flatnonzero(open_)
    a, b = pairs.a[edges].tolist(), pairs.b[edges].tolist()
    return np.asarray(components(size, [*a, *(i for i, _ in forced)], [*b, *(j for _, j in forced)]), dtype=np.int64)


def _unsaid(pairs: Scored, doubts: Doubts, open_: NDArray[np.bool_]) -> list[int]:
    """Links of a record without time and label, or across a shifted clock, among records that name sessions or parts."""
    import numpy as np

    label = _components(len(doubts.labelled), pairs, open_)
    several = np.bincount(label, weights=doubts.labelled, minlength=len(label)) > 0
    vague = doubts.timeless & ~doubts.labelled
    mute = vague[pairs.a] != vague[pairs.b]
    shifted = pairs.shifted & ~(doubts.labelled[pairs.a] & doubts.labelled[pairs.b])
    dropped: list[int] = np.flatnonzero(open_ & several[label[pairs.a]] & (mute | shifted)).tolist()
    return dropped


def _forced_pairs(pairs: Scored, forced: Sequence[tuple[int, int]]) -> set[int]:
    if not forced:
        return set()
    wanted = {(min(pair), max(pair)) for pair in forced}
    return {i for i, pair in enumerate(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)) if pair in wanted}


def _ambiguous(pairs: Scored, doubts: Doubts, open_: NDArray[np.bool_], margin: float) -> list[int]:
    """Positions of the links that lead one record to two events that exclude each other, and are about as good."""
    import numpy as np

    edges = np.flatnonzero(open_)
    if len(edges) < 2:
        return []
    size = len(doubts.timeless)
    code = pairs.a * size + pairs.b
    vague = doubts.timeless | doubts.placeless
    ends = np.r_[pairs.a[edges], pairs.b[edges]]
    others = np.r_[pairs.b[edges], pairs.a[edges]]
    position = np.r_[edges, edges]
    odds = pairs.odds[position]
    sorting = np.lexsort((others, -np.round(odds, 9), ends))
    ends, others, position, odds = ends[sorting], others[sorting], position[sorting], odds[sorting]
    first = np.r_[True, ends[1:] != ends[:-1]]
    best = np.maximum.accumulate(np.where(first, np.arange(len(ends)), 0))
    second = np.flatnonzero(~first & (odds[best] - odds < margin) & vague[ends])
    if not len(second):
        return []
    one, two = others[best[second]], others[second]
    low, high = np.minimum(one, two), np.maximum(one, two)
    place = np.minimum(np.searchsorted(code, low * size + high), len(code) - 1)
    known = code[place] == low * size + high
    rival = known & ((pairs.conflict[place] != Conflict.NONE) | (pairs.odds[place] < 0))
    # Not only the runner-up is dropped: which of the two it is cannot be said.
    dropped: list[int] = np.unique(np.r_[position[second[rival]], position[best[second[rival]]]]).tolist()
    return dropped


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
