"""Whole logical days from records to groups: block, measure, judge, cluster. Memory is bounded by the batch.

Belongs here: the order of the steps. What a pair has in common is `pairs`, what forbids it `conflicts`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingestion_assets.events.deduplication import exact_key
from ingestion_assets.events.deduplication.blocks import candidate_pairs
from ingestion_assets.events.deduplication.cluster import Grouping, group
from ingestion_assets.events.deduplication.columns import Batch, distinct
from ingestion_assets.events.deduplication.conflicts import Conflict, conflicts
from ingestion_assets.events.deduplication.doubts import Doubts
from ingestion_assets.events.deduplication.levels import LEVELS
from ingestion_assets.events.deduplication.links import Scored, components
from ingestion_assets.events.deduplication.neighbours import second_levels
from ingestion_assets.events.deduplication.pairs import PairFeatures, pair_features
from ingestion_assets.events.deduplication.plan import Plan, pair_of
from ingestion_assets.events.deduplication.prepare import prepare
from ingestion_assets.events.deduplication.records import Key, Record
from ingestion_assets.events.deduplication.statistics import CorpusStatistics
from ingestion_assets.events.deduplication.weights import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.columns import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How sure to be. Probabilities; the defaults favour precision, for a wrong merge hides an event."""

    accept: float = 0.4
    """Pairs from this probability on are linked."""
    review_from: float = 0.15
    """Pairs from here up to `accept` are for a person to decide."""
    margin: float = 1.5
    """Log-odds that the better of two links must be ahead when the two lead to events that exclude each other."""
    largest_cluster: int = 40
    """More records than any event has sources; a larger cluster is a mistake."""
    exact_only: bool = False
    """Link by the exact key alone: same title words, same day, same venue, no contradicting times."""
    batch: int = 20_000
    """Records worked on at once (whole days). Bounds memory; has no influence on the result."""
    reasons: bool = True
    """Say why for each link and doubtful pair. Costs time that a file of a million records does not need."""


@dataclass(slots=True)
class BatchResult:
    """What one batch of whole days gave. Indices are into `batch`."""

    batch: Batch
    scored: Scored
    features: PairFeatures
    grouping: Grouping
    best: Ints
    """By record: position of its best link inside its cluster, -1 when alone."""
    forced: frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class PairScore:
    """One pair measured for an explanation."""

    odds: float
    conflict: Conflict
    compared: bool
    first: list[tuple[str, str, float]]
    second: list[tuple[str, str, float]]


def score_pair(plan: Plan, a: Key, b: Key, *, statistics: CorpusStatistics, model: Model, config: Config) -> PairScore:
    """Measure one pair among the other records of its days, whether blocking would bring it together or not."""
    import numpy as np

    wanted = {a, b}
    days = [records for records in plan.days.values() if any(record.key in wanted for record in records)]
    batch = prepare([record for records in days for record in records], statistics, plan.moved)
    position = {key: i for i, key in enumerate(batch.keys)}
    low, high = sorted((position[a], position[b]))
    one, two = candidate_pairs(batch)
    compared = bool(np.any((one == low) & (two == high)))
    one, two = _with_pairs(len(batch), one, two, [(low, high)])
    forced = [(low, high)] if pair_of(a, b) in plan.merges else []
    apart = {(low, high)} if pair_of(a, b) in plan.splits else set()
    measured = Measured.of(batch, one, two, model, config)
    scored = _judge(batch, measured, model, config, apart, forced)
    index = int(np.flatnonzero((one == low) & (two == high))[0])
    return PairScore(
        float(scored.odds[index]),
        Conflict(int(scored.conflict[index])),
        compared,
        model.first.contributions(measured.features.levels, index),
        model.second.contributions(measured.features.second, index) if measured.features.second else [],
    )


def resolve_batches(plan: Plan, *, statistics: CorpusStatistics, model: Model, config: Config) -> Iterator[BatchResult]:
    """Batch after batch of whole logical days, ascending."""
    waiting: list[Record] = []
    for day in sorted(plan.days):
        if waiting and len(waiting) + len(plan.days[day]) > config.batch:
            yield resolve_batch(waiting, plan, statistics=statistics, model=model, config=config)
            waiting = []
        waiting += plan.days[day]
    if waiting:
        yield resolve_batch(waiting, plan, statistics=statistics, model=model, config=config)


def resolve_batch(
    records: Sequence[Record], plan: Plan, *, statistics: CorpusStatistics, model: Model, config: Config
) -> BatchResult:
    """Score and cluster the records of some whole logical days."""
    import numpy as np

    batch = prepare(records, statistics, plan.moved)
    position = {key: i for i, key in enumerate(batch.keys)} if plan.merges or plan.splits else {}
    forced = [(position[a], position[b]) for a, b in plan.merges if a in position and b in position]
    apart = {(position[a], position[b]) for a, b in plan.splits if a in position and b in position}
    a, b = candidate_pairs(batch)
    if apart or forced:
        a, b = _with_pairs(len(batch), a, b, [*forced, *apart])
    measured = Measured.of(batch, a, b, model, config)
    scored = _judge(batch, measured, model, config, apart, forced)
    accept = math.log(config.accept / (1 - config.accept))

    # Every pair inside a component is looked at, also those that blocking left out: refusals need the whole picture.
    linked = np.flatnonzero((scored.odds >= accept) & (scored.conflict == Conflict.NONE))
    label = components(
        len(batch),
        [*scored.a[linked].tolist(), *(i for i, _ in forced)],
        [*scored.b[linked].tolist(), *(j for _, j in forced)],
    )
    missing = _missing_pairs(np.asarray(label, dtype=np.int64), scored, largest=config.largest_cluster * 2)
    if len(missing[0]):
        measured = measured.with_more(Measured.of(batch, *missing, model, config))
        scored = _judge(batch, measured, model, config, apart, forced)

    grouping = group(
        scored,
        _doubts(batch),
        accept=accept,
        margin=config.margin,
        largest=config.largest_cluster,
        forced=forced,
    )
    return BatchResult(batch, scored, measured.features, grouping, _best_links(scored, grouping), frozenset(forced))


@dataclass(slots=True)
class Measured:
    """Pairs with what the two records of each say by themselves, ascending by `(a, b)`."""

    features: PairFeatures
    conflict: NDArray[np.int8]
    odds: Floats

    @classmethod
    def of(cls, batch: Batch, a: Ints, b: Ints, model: Model, config: Config) -> Measured:
        features = pair_features(batch, a, b)
        odds = _exact(batch, a, b) if config.exact_only else model.first_odds(features)
        return cls(features, conflicts(batch, features), odds)

    def with_more(self, other: Measured) -> Measured:
        """Both sets of pairs in one, in order. They must have no pair in common."""
        import numpy as np

        a, b = np.r_[self.features.a, other.features.a], np.r_[self.features.b, other.features.b]
        order = np.lexsort((b, a))
        levels = {
            name: np.r_[codes, other.features.levels[name]][order] for name, codes in self.features.levels.items()
        }
        return Measured(
            PairFeatures(a[order], b[order], levels),
            np.r_[self.conflict, other.conflict][order],
            np.r_[self.odds, other.odds][order],
        )


def _judge(
    batch: Batch,
    measured: Measured,
    model: Model,
    config: Config,
    apart: set[tuple[int, int]],
    forced: Sequence[tuple[int, int]],
) -> Scored:
    """The final score of each pair: what the records around add, and what people decided."""
    import numpy as np

    features, odds = measured.features, measured.odds
    conflict = measured.conflict.copy()
    a, b = features.a, features.b
    if not config.exact_only:
        features.second = second_levels(batch, a, b, odds, conflict != Conflict.NONE)
        odds = exact_key.at_least(odds + model.second.sum(features.second), batch, a, b)
    twice = (batch.source[a] == batch.source[b]) & (odds < 0) & (conflict == Conflict.NONE)
    conflict[twice] = Conflict.SAME_SOURCE_LISTS_BOTH
    if apart or forced:
        code = a * len(batch) + b
        for pairs, value in ((forced, Conflict.NONE), (apart, Conflict.SPLIT_BY_PERSON)):
            for one, two in pairs:
                place = int(np.searchsorted(code, min(one, two) * len(batch) + max(one, two)))
                conflict[place] = value
    shifted = np.isin(features.levels["time"], [LEVELS["time"].index(level) for level in _SHIFTED])
    return Scored(a, b, np.round(odds, 9), conflict, shifted)


_SHIFTED = ("slip_to_evening", "slip_by_day", "half_day")


def _doubts(batch: Batch) -> Doubts:
    import numpy as np

    return Doubts(
        timeless=(batch.minute < 0) & (batch.parsed["clock"] < 0),
        placeless=(batch.alias < 0) & np.isnan(batch.lat) & (batch.place == 0) & ~batch.online,
        labelled=(batch.parsed["sessions"] > 0) | (batch.parsed["parts"] > 0),
        minute=np.where(batch.minute >= 0, batch.minute, batch.parsed["clock"]),
    )


def _exact(batch: Batch, a: Ints, b: Ints) -> Floats:
    import numpy as np

    same = (batch.title[a] == batch.title[b]) & (batch.alias[a] == batch.alias[b]) & (batch.alias[a] >= 0)
    one, two = batch.minute[a], batch.minute[b]
    near = (one < 0) | (two < 0) | (np.abs(one - two) <= 35)
    return np.where(same & near, 6.0, -6.0)


def _with_pairs(size: int, a: Ints, b: Ints, more: Iterable[tuple[int, int]]) -> tuple[Ints, Ints]:
    import numpy as np

    extra = np.asarray([min(pair) * size + max(pair) for pair in more], dtype=np.int64)
    codes = distinct(np.r_[a * size + b, extra])
    return codes // size, codes % size


def _missing_pairs(label: Ints, scored: Scored, *, largest: int) -> tuple[Ints, Ints]:
    """Pairs of records of one component that were not compared. Components above `largest` are left as they are."""
    import numpy as np

    sizes = np.bincount(label, minlength=len(label))
    inside = label[scored.a] == label[scored.b]
    seen = np.bincount(label[scored.a[inside]], minlength=len(label))
    wanted = np.flatnonzero((sizes > 2) & (sizes <= largest) & (seen < sizes * (sizes - 1) // 2))
    chosen = np.zeros(len(label), dtype=bool)
    chosen[wanted] = True
    members: dict[int, list[int]] = defaultdict(list)
    for i in np.flatnonzero(chosen[label]).tolist():
        members[int(label[i])].append(i)
    pairs = [(i, j) for group_ in members.values() for x, i in enumerate(group_) for j in group_[x + 1 :]]
    table = np.asarray(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    code = table[:, 0] * len(label) + table[:, 1]
    table = table[~np.isin(code, scored.a[inside] * len(label) + scored.b[inside])]
    return table[:, 0], table[:, 1]


def _best_links(scored: Scored, grouping: Grouping) -> Ints:
    import numpy as np

    label = grouping.label
    inside = np.flatnonzero(label[scored.a] == label[scored.b])
    ends = np.r_[scored.a[inside], scored.b[inside]]
    position = np.r_[inside, inside]
    sorting = np.lexsort((position, -scored.odds[position], ends))
    ends, position = ends[sorting], position[sorting]
    first = np.r_[True, ends[1:] != ends[:-1]] if len(ends) else np.zeros(0, dtype=bool)
    best = np.full(len(label), -1, dtype=np.int64)
    best[ends[first]] = position[first]
    return best
