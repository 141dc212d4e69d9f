"""Which queue a run belongs to.

Sources have queues of their own so that a slow or limited one never stands before the others, and so that its
workers can live where its keys, addresses or memory are. What asks language models has one too: it waits for minutes
where imports take seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from ingestion_assets.events.sources import SOURCE_NAMES

DEFAULT = "dagster"
"""Deduplication, repairs, and everything that has no queue of its own. The name that Dagster's library takes as well."""
LLM = "llm"
SOURCES = "sources"
"""Runs of several sources at once."""
_ASKING = ("tag_enrichments", "document_analyses", "study_collections", "work_off_queue")


def queue_of(steps: Iterable[str]) -> str:
    """The queue of a run with these steps: assets and their checks, by the names that Dagster gives them."""
    sources, others = set(), set()
    for step in steps:
        source = _source_of(step)
        if source is not None:
            sources.add(source)
        else:
            others.add(step)
    if any(step.startswith(_ASKING) for step in others):
        return LLM
    if others or not sources:
        return DEFAULT
    return f"source_{sources.pop()}" if len(sources) == 1 else SOURCES


def all_queues() -> list[str]:
    """Every queue there is. One that no worker listens to keeps its runs waiting."""
    return [DEFAULT, LLM, SOURCES, *(f"source_{name}" for name in SOURCE_NAMES)]


def _source_of(step: str) -> str | None:
    """`ics` for `raw_events__ics` and for its checks (`raw_events__ics_fresh`, `raw_events__ics__checks`)."""
    for name in SOURCE_NAMES:
        if step == f"raw_events__{name}" or step.startswith(f"raw_events__{name}_"):
            return name
    return None
