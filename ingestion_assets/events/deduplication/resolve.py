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

from collections.abc import Iterable, Sequence
from datetime import date

from ingestion_assets.events.deduplication.batches import Config, resolve_batches
from ingestion_assets.events.deduplication.collecting import no_cycles_sought
from ingestion_assets.events.deduplication.findings import clusters_of, refused_of, review_of
from ingestion_assets.events.deduplication.plan import plan_days
from ingestion_assets.events.deduplication.records import (
    Cluster,
    Key,
    Link,
    Override,
    Record,
    RefusedUnion,
    Resolution,
    UncertainPair,
)
from ingestion_assets.events.deduplication.statistics import CorpusStatistics, default_statistics
from ingestion_assets.events.deduplication.weights import Model, default_model

__all__ = ["Config", "resolve"]


def resolve(
    records: Iterable[Record],
    *,
    overrides: Sequence[Override] = (),
    statistics: CorpusStatistics | None = None,
    model: Model | None = None,
    config: Config | None = None,
    window: tuple[date, date] | None = None,
) -> Resolution:
    """Cluster records. The same records give the same result in any order.

    With a `window` of local dates, the second of them outside, only logical days with a record inside are resolved: those
    that `Resolution.owned` of the same dates needs. A crowded Sunday is then no work for the week after it.

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
    if window is not None:
        plan.keep(*window)
    compared = 0
    with no_cycles_sought():
        for result in resolve_batches(plan, statistics=statistics, model=model, config=config):
            compared += len(result.scored.a)
            clusters += clusters_of(result, config, model)
            refused += refused_of(result)
            review += review_of(result, config, model)
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
