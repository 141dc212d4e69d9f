"""Tags for one event that comes with the request."""

from __future__ import annotations

from ingestion_assets.assistant.model import EventTagsOut, TagArguments
from ingestion_assets.events.tagging import TagResult, tag_events, tag_input
from ingestion_assets.ledger.async_jobs import JobFailedError
from resources.llm.protocol import Deadline, LlmClient


async def tag(arguments: TagArguments, client: LlmClient, deadline: Deadline, *, event_id: str) -> EventTagsOut:
    """The tags. Raises `JobFailedError` with the reason when there are none."""
    results: list[TagResult] = []
    item = tag_input(
        event_id=event_id,
        title=arguments.title,
        description=arguments.description,
        venue_name=arguments.venue_name,
        categories=arguments.categories,
    )
    outcome = await tag_events([item], client, deadline=deadline, on_results=results.extend)
    if outcome.fatal is not None:
        raise outcome.fatal
    [result] = results
    if result.tags is None:
        until = f" Ask again after {result.not_before:%Y-%m-%d %H:%M} UTC." if result.not_before else ""
        raise JobFailedError(f"No tags could be given to this event.{until}", code=result.error_code or "no_answer")
    return EventTagsOut(
        **result.tags.model_dump(mode="json"),
        provider=result.provider,
        model=result.model,
        warnings=sorted(outcome.warnings),
    )
