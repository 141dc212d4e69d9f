"""Tagging through a provider's batch mode: questions made from events, and rows made from what comes back.

    for status in batches.submit(batch_questions(inputs).requests, announce=...):
        record_found(connection, status.submission, status)
    ...
    rows = read_batch(stored.items, batches.collect(status, TagBatch), provider="openai", model=stored.model)

Rows in `rows.left` have no usable answer: expired, refused, missing. They stay pending and the online way takes them over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingestion_assets.events.tagging.engine import tag_request
from ingestion_assets.events.tagging.model import TagBatch
from ingestion_assets.events.tagging.outcome import MISSING, RowStatus, TagResult, placed
from ingestion_assets.events.tagging.text import TagInput
from resources.llm.openai_batch import BatchResult
from resources.llm.protocol import CompletionRequest, Usage


@dataclass(frozen=True, slots=True)
class BatchQuestions:
    """Requests by custom_id, and what each of them is about, as plain JSON for the ledger."""

    requests: dict[str, CompletionRequest[TagBatch]] = field(default_factory=dict)
    items: dict[str, list[list[str]]] = field(default_factory=dict)
    """custom_id -> [event_id, input_hash] of each event in the question."""


def batch_questions(inputs: Sequence[TagInput], *, events_per_prompt: int = 10) -> BatchQuestions:
    """The questions for a batch. Equal texts are asked once; their twins are named beside them in `items`."""
    twins: dict[str, list[TagInput]] = {}
    for item in inputs:
        twins.setdefault(item.input_hash, []).append(item)
    asked = [group[0] for group in twins.values()]
    questions = BatchQuestions()
    for start in range(0, len(asked), events_per_prompt):
        part = asked[start : start + events_per_prompt]
        custom_id = f"tags-{start // events_per_prompt:06}"
        questions.requests[custom_id] = tag_request(part)
        questions.items[custom_id] = [
            [twin.event_id, twin.input_hash] for item in part for twin in twins[item.input_hash]
        ]
    return questions


@dataclass(slots=True)
class BatchRows:
    """What a batch brought. `done` and `left` together are every event that was in it."""

    done: list[TagResult] = field(default_factory=list)
    left: list[TagResult] = field(default_factory=list)
    """Pending, with the reason: to be asked online."""
    usage: Usage = field(default_factory=Usage)


def read_batch(
    items: Mapping[str, Any], results: Iterable[BatchResult[TagBatch]], *, provider: str, model: str
) -> BatchRows:
    """Place the answers of a batch. Answers to other questions, and repeated ones, are ignored."""
    rows = BatchRows()
    open_items: dict[str, list[list[str]]] = {custom_id: list(events) for custom_id, events in items.items()}
    for result in results:
        rows.usage += result.usage
        events = open_items.pop(result.custom_id, None)
        if events is None:
            continue
        if result.value is None:
            _leave(rows, events, str(result.error_code), result.error_text)
            continue
        good, wrong = placed(result.value, {event_id for event_id, _ in events})
        # The one that was asked stands first among equal texts: its tags are those of its twins.
        by_hash = {input_hash: good[event_id] for event_id, input_hash in events if event_id in good}
        for event_id, input_hash in events:
            if input_hash not in by_hash:
                _leave(rows, [[event_id, input_hash]], *wrong.get(event_id, MISSING))
                continue
            rows.done.append(
                TagResult(
                    event_id=event_id,
                    input_hash=input_hash,
                    status=RowStatus.DONE,
                    tags=by_hash[input_hash],
                    provider=provider,
                    model=model,
                )
            )
    for events in open_items.values():
        _leave(rows, events, "batch_incomplete", "the batch ended without an answer to this question")
    return rows


def _leave(rows: BatchRows, events: Iterable[Sequence[str]], code: str, text: str | None) -> None:
    rows.left += [
        TagResult(event_id=event_id, input_hash=input_hash, status=RowStatus.PENDING, error_code=code, error_text=text)
        for event_id, input_hash in events
    ]
