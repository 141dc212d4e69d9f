"""What became of each event that was to be tagged, and of all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from ingestion_assets.events.tagging.model import EventTags, TagBatch
from resources.llm.errors import LlmError
from resources.llm.protocol import Completion, Usage, together


class RowStatus(StrEnum):
    """Every input ends in exactly one of these."""

    DONE = "done"
    PENDING = "pending"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class TagResult:
    """One event: its tags, or why it has none."""

    event_id: str
    input_hash: str
    status: RowStatus
    tags: EventTags | None = None
    provider: str = ""
    model: str = ""
    explanation: list[dict[str, Any]] | None = None
    """Which term gave each tag, where the offline rules answered."""
    error_code: str | None = None
    """`quota_exceeded`, `deadline`, `unavailable` … of `resources.llm.ErrorCode`, or one of `RowError`."""
    error_text: str | None = None
    not_before: datetime | None = None
    """Of a pending row, aware: when it makes sense to ask again. None where waiting helps nothing: a wrong key or model."""


class RowError(StrEnum):
    """Reasons of this package, beside those of `resources.llm.ErrorCode`."""

    NO_ANSWER = "no_answer"
    """The model answered its neighbours and left this one out, every time."""
    OFF_TAXONOMY = "off_taxonomy"
    CONFLICTING_ANSWERS = "conflicting_answers"


MISSING = (RowError.NO_ANSWER, "the model left this event out of its answers")


def placed(answer: TagBatch, ids: Container[str]) -> tuple[dict[str, EventTags], dict[str, tuple[RowError, str]]]:
    """The usable tags of an answer by event id, and why the other events that it speaks of have none.

    Ids that were not asked for are ignored. An event that is answered twice, differently, has no answer: one of them
    was meant for a neighbour, and nobody can tell which.
    """
    good: dict[str, EventTags] = {}
    wrong: dict[str, tuple[RowError, str]] = {}
    for each in answer.accepted:
        if each.event_id in ids and good.setdefault(each.event_id, each.tags) != each.tags:
            wrong[each.event_id] = (RowError.CONFLICTING_ANSWERS, "answered twice, differently")
    for refused in answer.refused:
        if refused.event_id is not None and refused.event_id in ids:
            wrong.setdefault(refused.event_id, (RowError.OFF_TAXONOMY, refused.reason))
    return {event_id: tags for event_id, tags in good.items() if event_id not in wrong}, wrong


@dataclass(slots=True)
class TaggingOutcome:
    """Counts of a whole task. `done + pending + error` is the number of inputs, always."""

    done: int = 0
    pending: int = 0
    error: int = 0
    prompts: int = 0
    """Questions put to the client, re-asked ones included. What they took in calls is in `usage`."""
    reasked: int = 0
    """Events that were part of a question more than once."""
    usage: Usage = field(default_factory=Usage)
    usage_by_model: dict[tuple[str, str], Usage] = field(default_factory=dict)
    """(provider, model) that was asked -> usage, for the ledger."""
    by_provider: Counter[str] = field(default_factory=Counter)
    """Events done, by who answered."""
    reasons: Counter[str] = field(default_factory=Counter)
    """`error_code` of pending and failed rows."""
    warnings: Counter[str] = field(default_factory=Counter)
    """Codes such as `gemini-quota-exceeded`, by number of questions that met them."""
    not_before: datetime | None = None
    """When the earliest of the pending rows can be asked again."""
    fatal: LlmError | None = None
    """What no row can be blamed for and no waiting helps: a wrong key, an unknown model."""

    @property
    def total(self) -> int:
        return self.done + self.pending + self.error

    def raise_if_fatal(self) -> None:
        """Raise what stopped the whole task, once its rows are stored."""
        if self.fatal is not None:
            raise self.fatal

    def count(self, result: TagResult) -> None:
        """Add one row. Called once an event."""
        if result.status is RowStatus.DONE:
            self.done += 1
            self.by_provider[result.provider] += 1
            return
        if result.status is RowStatus.PENDING:
            self.pending += 1
            if result.not_before is not None:
                self.not_before = min(self.not_before or result.not_before, result.not_before)
        else:
            self.error += 1
        self.reasons[result.error_code or "unknown"] += 1

    def spend(self, ended: LlmError | Completion[TagBatch]) -> None:
        """Add what one question cost."""
        self.usage += ended.usage
        self.usage_by_model = together(self.usage_by_model, ended.spent)
