"""What a batch's groups mean for people: clusters with links and reasons, refused unions, pairs to be looked at.

Belongs here: wording and selection. Nothing is decided here any more.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingestion_assets.events.deduplication.batches import BatchResult, Config
from ingestion_assets.events.deduplication.conflicts import Conflict
from ingestion_assets.events.deduplication.plan import pair_of
from ingestion_assets.events.deduplication.records import Cluster, Key, RefusedUnion, UncertainPair
from ingestion_assets.events.deduplication.weights import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def probability(odds: float) -> float:
    """The probability that log-odds stand for, to six digits."""
    return round(1.0 / (1.0 + math.exp(-max(min(odds, 40.0), -40.0))), 6)


def clusters_of(
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
    # Weights are against the average pair: what most pairs have weighs nothing, and explains nothing.
    weight = np.stack([numbers[codes] for _, _, numbers, codes in named])
    order = np.argsort(-np.abs(weight), axis=0, kind="stable")[:count].T
    text = [[f"{name}={label}" for label in levels] for name, levels, _, _ in named]
    return {
        position: tuple(text[feature][int(named[feature][3][i])] for feature in order[i].tolist())
        for i, position in enumerate(positions)
    }


def refused_of(result: BatchResult) -> list[RefusedUnion]:
    keys, label = result.batch.keys, result.grouping.label
    output = []
    for position, reason in result.grouping.refused.items():
        a, b = int(result.scored.a[position]), int(result.scored.b[position])
        if label[a] != label[b]:
            score = probability(float(result.scored.odds[position]))
            output.append(RefusedUnion(*pair_of(keys[a], keys[b]), score, reason.label))
    return output


def review_of(result: BatchResult, config: Config, model: Model) -> list[UncertainPair]:
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
        pair = pair_of(keys[int(scored.a[position])], keys[int(scored.b[position])])
        output.append(UncertainPair(*pair, probability(float(scored.odds[position])), reasons))
    return output
