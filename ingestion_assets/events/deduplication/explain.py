"""One decision taken apart: what two records have in common, what each weighs, and what refused the union."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ingestion_assets.events.deduplication.batches import score_pair
from ingestion_assets.events.deduplication.conflicts import Conflict
from ingestion_assets.events.deduplication.findings import probability
from ingestion_assets.events.deduplication.plan import plan_days
from ingestion_assets.events.deduplication.records import Key, Override, Record
from ingestion_assets.events.deduplication.resolve import Config, resolve
from ingestion_assets.events.deduplication.statistics import CorpusStatistics, default_statistics
from ingestion_assets.events.deduplication.weights import Model, default_model


@dataclass(frozen=True, slots=True)
class Contribution:
    """One feature of a pair. `weight` is in log-odds; a table's bias and weights add up."""

    feature: str
    level: str
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why two records are one event, or are not."""

    a: Key
    b: Key
    same_cluster: bool
    score: float
    """Probability that the pair is one event, by itself; unions also look at the records around."""
    compared: bool
    """Blocking brought the two together. A pair that was never compared can still share a cluster through others."""
    refusal: str | None
    """What kept the two apart although, or because: a conflict's code, `score_too_low`, `other_day`; None when joined."""
    first_bias: float
    first: tuple[Contribution, ...]
    """What the two records say by themselves, the weightiest first."""
    second_bias: float
    second: tuple[Contribution, ...]
    """What the records around add. Both biases and both lists add up to the score's log-odds."""
    model_version: str
    statistics_version: str


def explain(
    a: Key,
    b: Key,
    records: Sequence[Record],
    *,
    overrides: Sequence[Override] = (),
    statistics: CorpusStatistics | None = None,
    model: Model | None = None,
    config: Config | None = None,
) -> Explanation:
    """Explain a pair among `records`, which should hold all records of both days and their neighbouring days.

    KeyError when `a` or `b` is not among the records.
    """
    statistics, model, config = statistics or default_statistics(), model or default_model(), config or Config()
    present = {record.key for record in records}
    for key in (a, b):
        if key not in present:
            raise KeyError(f"no record {key.source}:{key.source_id} among those given")
    plan = plan_days(records, overrides, statistics)
    pair = score_pair(plan, a, b, statistics=statistics, model=model, config=config)
    resolution = resolve(records, overrides=overrides, statistics=statistics, model=model, config=config)
    joined = resolution.links[a].cluster == resolution.links[b].cluster
    refusal: str | None = None
    if not joined:
        named = next((r.reason for r in resolution.refused if {r.a, r.b} == {a, b}), None)
        if named is None and pair.conflict is not Conflict.NONE:
            named = pair.conflict.label
        refusal = named or ("score_too_low" if probability(pair.odds) < config.accept else "not_compared")
    return Explanation(
        a=a,
        b=b,
        same_cluster=joined,
        score=probability(pair.odds),
        compared=pair.compared,
        refusal=refusal,
        first_bias=model.first.bias,
        first=tuple(Contribution(*part) for part in pair.first if part[2] != 0.0),
        second_bias=model.second.bias,
        second=tuple(Contribution(*part) for part in pair.second if part[2] != 0.0),
        model_version=resolution.model_version,
        statistics_version=resolution.statistics_version,
    )
