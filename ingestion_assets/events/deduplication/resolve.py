"""The whole pipeline: records in, clusters out.

**Locality.** Every record has a logical day (`prepare.logical_day`: its local date, or the date before for the small
hours). Candidates, features, scores, conflicts and clusters only ever involve records of one logical day; corpus-wide
knowledge comes from the statistics snapshot alone. The records of a logical day D lie on the local dates D and D + 1,
so the cluster of a record of date D depends on records of D - 1 .. D + 1 only, and on overrides. A cluster is owned
by its earliest local date. Hence any range of dates resolved together with one more date on each side owns exactly
the clusters that a run over everything finds (`Resolution.owned`); days may be resolved in any order or in parallel.

A forced merge across days brings its records into the logical day of the earliest one: resolve them together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingestion_assets.events.deduplication import exact_key
from ingestion_assets.events.deduplication.blocks import candidate_pairs
from ingestion_assets.events.deduplication.cluster import Doubts, Grouping, Scored, components, group
from ingestion_assets.events.deduplication.conflicts import Conflict, conflicts
from ingestion_assets.events.deduplication.days import logical_day
from ingestion_assets.events.deduplication.levels import LEVELS
from ingestion_assets.events.deduplication.neighbours import second_levels
from ingestion_assets.events.deduplication.pairs import PairFeatures, pair_features
from ingestion_assets.events.deduplication.prepare import Batch, prepare
from ingestion_assets.events.deduplication.records import (
    Cluster,
    Key,
    Link,
    Override,
    Record,
    RefusedUnion,
    Resolution,
    UncertainPair,
    Verdict,
)
from ingestion_assets.events.deduplication.statistics import CorpusStatistics, default_statistics
from ingestion_assets.events.deduplication.weights import Model, default_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ingestion_assets.events.deduplication.prepare import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How sure to be. Probabilities; the defaults favour precision, for a wrong merge hides an event."""

    accept: float = 0.6
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


def resolve(
    records: Iterable[Record],
    *,
    overrides: Sequence[Override] = (),
    statistics: CorpusStatistics | None = None,
    model: Model | None = None,
    config: Config | None = None,
) -> Resolution:
    """Cluster records. The same records give the same result in any order.

    `statistics` must be the same snapshot run after run (default: the shipped one). ValueError when two records have
    one key. Overrides that name a record which is not among `records` are ignored.
    """
    config = config or Config()
    statistics = statistics or default_statistics()
    model = model or default_model()
    clusters: list[tuple[Cluster, list[tuple[Key, float, Key | None, tuple[str, ...]]]]] = []
    refused: list[RefusedUnion] = []
    review: list[UncertainPair] = []
    plan = plan_days(records, overrides, statistics)
    compared = 0
    for result in resolve_batches(plan, statistics=statistics, model=model, config=config):
        compared += len(result.scored.a)
        clusters += _clusters(result, config, model)
        refused += _refused(result)
        review += _review(result, config, model)
    clusters.sort(key=lambda item: (item[0].day, item[0].members))
    links = {
        key: Link(key, index, score, partner, reasons)
        for index, (_, rows) in enumerate(clusters)
        for key, score, partner, reasons in rows
    }
    return Resolution(
        clusters=tuple(cluster for cluster, _ in clusters),
        links=links,
        refused=tuple(sorted(refused, key=lambda pair: (-pair.score, pair.a, pair.b))),
        review=tuple(sorted(review, key=lambda pair: (-pair.score, pair.a, pair.b))),
        model_version="exact" if config.exact_only else model.version,
        statistics_version=statistics.version,
        pairs_compared=compared,
        unmet_overrides=tuple(plan.unmet),
    )


@dataclass(slots=True)
class Plan:
    """Records by logical day, and what people decided about them."""

    days: dict[int, list[Record]]
    moved: dict[Key, int]
    merges: list[tuple[Key, Key]]
    splits: set[tuple[Key, Key]]
    unmet: list[Override]

    @classmethod
    def of(cls, records: Iterable[Record], overrides: Sequence[Override], statistics: CorpusStatistics) -> Plan:
        day_of: dict[Key, int] = {}
        days: dict[int, list[Record]] = defaultdict(list)
        everyone: dict[Key, Record] = {}
        named = {key for override in overrides for key in (override.a, override.b)}
        for record in records:
            day, _, _ = logical_day(record, no_time_at_midnight=record.source in statistics.midnight_sources)
            if record.key in day_of:
                raise ValueError(f"two records are called {record.source}:{record.source_id}; keep the newer one")
            day_of[record.key] = day
            if record.key in named:
                everyone[record.key] = record
            days[day].append(record)
        merges, splits, unmet = _decisions(overrides, set(everyone))
        moved = _move(merges, day_of)
        for key, day in moved.items():
            days[day_of[key]].remove(everyone[key])
            days[day].append(everyone[key])
        return cls(dict(days), moved, merges, splits, unmet)


def plan_days(records: Iterable[Record], overrides: Sequence[Override], statistics: CorpusStatistics) -> Plan:
    """Sort records into logical days and read the overrides. ValueError when two records have one key."""
    return Plan.of(records, overrides, statistics)


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
    forced = [(low, high)] if _pair(a, b) in plan.merges else []
    apart = {(low, high)} if _pair(a, b) in plan.splits else set()
    features, scored = _score(batch, one, two, model, config, apart, forced)
    index = int(np.flatnonzero((one == low) & (two == high))[0])
    return PairScore(
        float(scored.odds[index]),
        Conflict(int(scored.conflict[index])),
        compared,
        model.first.contributions(features.levels, index),
        model.second.contributions(features.second, index) if features.second else [],
    )


def _decisions(
    overrides: Sequence[Override], present: set[Key]
) -> tuple[list[tuple[Key, Key]], set[tuple[Key, Key]], list[Override]]:
    """Merges and splits between records that are here. A merge that would join two split records is not met.

    Overrides apply in the order of their time (then of their keys), so the result does not depend on how they are listed.
    """
    here = [
        override
        for override in overrides
        if override.a in present and override.b in present and override.a != override.b
    ]
    splits = {_pair(override.a, override.b) for override in here if override.verdict is Verdict.SPLIT}
    groups: dict[Key, set[Key]] = {}
    merges, unmet = [], []
    ordered = sorted(
        (override for override in here if override.verdict is Verdict.MERGE),
        key=lambda override: (override.when.timestamp() if override.when else 0.0, _pair(override.a, override.b)),
    )
    for override in ordered:
        left = groups.get(override.a, {override.a})
        right = groups.get(override.b, {override.b})
        if any(_pair(one, two) in splits for one in left for two in right):
            unmet.append(override)
            continue
        united = left | right
        for key in united:
            groups[key] = united
        merges.append(_pair(override.a, override.b))
    return merges, splits, unmet


def _pair(one: Key, two: Key) -> tuple[Key, Key]:
    return (one, two) if one <= two else (two, one)


def _move(merges: Sequence[tuple[Key, Key]], day_of: Mapping[Key, int]) -> dict[Key, int]:
    """Records of a forced group that must come to its earliest logical day."""
    keys = sorted({key for pair in merges for key in pair})
    index = {key: i for i, key in enumerate(keys)}
    label = components(len(keys), [index[a] for a, _ in merges], [index[b] for _, b in merges])
    earliest: dict[int, int] = {}
    for key, root in zip(keys, label, strict=True):
        earliest[root] = min(earliest.get(root, day_of[key]), day_of[key])
    return {key: earliest[root] for key, root in zip(keys, label, strict=True) if earliest[root] != day_of[key]}


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
    features, scored = _score(batch, a, b, model, config, apart, forced)
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
        a, b = _with_pairs(len(batch), a, b, zip(missing[0].tolist(), missing[1].tolist(), strict=True))
        features, scored = _score(batch, a, b, model, config, apart, forced)

    grouping = group(
        scored,
        _doubts(batch),
        accept=accept,
        margin=config.margin,
        largest=config.largest_cluster,
        forced=forced,
    )
    return BatchResult(batch, scored, features, grouping, _best_links(scored, grouping), frozenset(forced))


def _score(
    batch: Batch,
    a: Ints,
    b: Ints,
    model: Model,
    config: Config,
    apart: set[tuple[int, int]],
    forced: Sequence[tuple[int, int]],
) -> tuple[PairFeatures, Scored]:
    import numpy as np

    features = pair_features(batch, a, b)
    conflict = conflicts(batch, features)
    odds = _exact(batch, a, b) if config.exact_only else model.first_odds(features)
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
    return features, Scored(a, b, np.round(odds, 9), conflict, shifted)


_SHIFTED = ("slip_to_evening", "slip_by_day", "half_day")


def _doubts(batch: Batch) -> Doubts:
    import numpy as np

    return Doubts(
        timeless=(batch.minute < 0) & (batch.parsed["clock"] < 0),
        placeless=(batch.alias < 0) & np.isnan(batch.lat) & (batch.place == 0),
        labelled=(batch.parsed["sessions"] > 0) | (batch.parsed["parts"] > 0),
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
    codes = np.unique(np.r_[a * size + b, extra])
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
    table = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
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


def probability(odds: float) -> float:
    """The probability that log-odds stand for, to six digits."""
    return round(1.0 / (1.0 + math.exp(-max(min(odds, 40.0), -40.0))), 6)


def _clusters(
    result: BatchResult, config: Config, model: Model
) -> list[tuple[Cluster, list[tuple[Key, float, Key | None, tuple[str, ...]]]]]:
    batch, scored = result.batch, result.scored
    members: dict[int, list[int]] = defaultdict(list)
    for i, root in enumerate(result.grouping.label.tolist()):
        members[root].append(i)
    linked = [position for position in result.best.tolist() if position >= 0]
    why = _reasons(result, sorted(set(linked)), model) if config.reasons and not config.exact_only else {}
    output: list[tuple[Cluster, list[tuple[Key, float, Key | None, tuple[str, ...]]]]] = []
    for rows in members.values():
        if len(rows) == 1:
            key = batch.keys[rows[0]]
            output.append((Cluster((key,), batch.records[rows[0]].local_date, 1.0), [(key, 1.0, None, ())]))
            continue
        links: list[tuple[Key, float, Key | None, tuple[str, ...]]] = []
        for i in rows:
            position = int(result.best[i])
            if position < 0:
                links.append((batch.keys[i], 1.0, None, ()))
                continue
            one, two = int(scored.a[position]), int(scored.b[position])
            partner = batch.keys[two if one == i else one]
            if (one, two) in result.forced or (two, one) in result.forced:
                links.append((batch.keys[i], 1.0, partner, ("merged_by_person",)))
            else:
                reasons = ("exact_key",) if config.exact_only else why.get(position, ())
                links.append((batch.keys[i], probability(float(scored.odds[position])), partner, reasons))
        keys = tuple(sorted(batch.keys[i] for i in rows))
        day = min(batch.records[i].local_date for i in rows)
        output.append((Cluster(keys, day, min(link[1] for link in links)), links))
    return output


def _reasons(result: BatchResult, positions: Sequence[int], model: Model, count: int = 4) -> dict[int, tuple[str, ...]]:
    """For each pair the levels that weighed most, as `feature=level`, the weightiest first."""
    import numpy as np

    if not positions:
        return {}
    rows = np.asarray(positions, dtype=np.int64)
    named: list[tuple[str, tuple[str, ...], NDArray[np.float64], NDArray[np.int8]]] = [
        (name, levels, np.asarray(table.weights[name]), codes[name][rows])
        for table, codes in ((model.first, result.features.levels), (model.second, result.features.second))
        for name, levels in table.levels.items()
    ]
    # Against the average of the feature's levels: a feature that says the same of every pair explains nothing.
    weight = np.stack([numbers[codes] - numbers.mean() for _, _, numbers, codes in named])
    order = np.argsort(-np.abs(weight), axis=0, kind="stable")[:count].T
    text = [[f"{name}={label}" for label in levels] for name, levels, _, _ in named]
    return {
        position: tuple(text[feature][int(named[feature][3][i])] for feature in order[i].tolist())
        for i, position in enumerate(positions)
    }


def _refused(result: BatchResult) -> list[RefusedUnion]:
    keys, label = result.batch.keys, result.grouping.label
    output = []
    for position, reason in result.grouping.refused.items():
        a, b = int(result.scored.a[position]), int(result.scored.b[position])
        if label[a] != label[b]:
            score = probability(float(result.scored.odds[position]))
            output.append(RefusedUnion(*_pair(keys[a], keys[b]), score, reason.label))
    return output


def _review(result: BatchResult, config: Config, model: Model) -> list[UncertainPair]:
    """Doubtful pairs that ended apart: scores just below acceptance, and links dropped because two were as good.

    At most the best doubt of each record is kept, so the queue stays as short as the questions are.
    """
    import numpy as np

    scored, label = result.scored, result.grouping.label
    low, high = (math.log(p / (1 - p)) for p in (config.review_from, config.accept))
    between = (scored.odds >= low) & (scored.odds < high) & (scored.conflict == Conflict.NONE)
    chosen: NDArray[np.bool_] = between & (label[scored.a] != label[scored.b])
    for position, reason in result.grouping.refused.items():
        if reason in (Conflict.AMBIGUOUS, Conflict.OUTVOTED) and label[scored.a[position]] != label[scored.b[position]]:
            chosen[position] = True
    positions = sorted(np.flatnonzero(chosen).tolist(), key=lambda p: (-scored.odds[p], p))
    asked: set[int] = set()
    kept = []
    for position in positions:
        a, b = int(scored.a[position]), int(scored.b[position])
        if a in asked and b in asked:
            continue
        asked |= {a, b}
        kept.append(position)
    why = _reasons(result, kept, model) if config.reasons and not config.exact_only else {}
    keys = result.batch.keys
    output = []
    for position in kept:
        reasons = why.get(position, ())
        refusal = result.grouping.refused.get(position)
        if refusal is not None:
            reasons = (refusal.label, *reasons)
        pair = _pair(keys[int(scored.a[position])], keys[int(scored.b[position])])
        output.append(UncertainPair(*pair, probability(float(scored.odds[position])), reasons))
    return output
