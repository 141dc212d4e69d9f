"""What an event's tags are, and how a model's answer for several events is read.

Closed enums on every axis: a value outside the taxonomy is refused with a reason, never mapped to a neighbour.
One bad element refuses its own event only; the other events of the same answer are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)
from pydantic.json_schema import SkipJsonSchema

from ingestion_assets.events.tagging.taxonomy import Ambiance, Audience, EventType, Genre
from resources.schema_faults import field_of

_Value = TypeVar("_Value", Genre, Ambiance, Audience)

MAX_GENRES = 5
MAX_AMBIANCE = 4
MAX_AUDIENCE = 5
"""More than these is a model listing everything it knows. The prompt asks for fewer; an answer beyond is refused."""


class EventTags(BaseModel):
    """The tags of one event. Lists are stored without repeats and in the order of the taxonomy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: EventType
    genres: tuple[Genre, ...]
    ambiance: tuple[Ambiance, ...]
    audience: tuple[Audience, ...]

    @field_validator("genres", "ambiance", "audience")
    @classmethod
    def _in_taxonomy_order(cls, values: tuple[_Value, ...]) -> tuple[_Value, ...]:
        given = set(values)
        return tuple(value for value in type(values[0]) if value in given) if values else ()

    @field_validator("genres", "ambiance", "audience")
    @classmethod
    def _not_everything(cls, values: tuple[_Value, ...]) -> tuple[_Value, ...]:
        if not values:
            return values
        limit = {Genre: MAX_GENRES, Ambiance: MAX_AMBIANCE, Audience: MAX_AUDIENCE}[type(values[0])]
        if len(values) > limit:
            raise ValueError(f"{len(values)} values, at most {limit} are accepted")
        return values


class TagAnswer(EventTags):
    """The tags of one event inside an answer for several."""

    event_id: str = Field(description="The id exactly as given in the input")

    @property
    def tags(self) -> EventTags:
        return EventTags(type=self.type, genres=self.genres, ambiance=self.ambiance, audience=self.audience)


@dataclass(frozen=True, slots=True)
class RefusedAnswer:
    """An element of an answer that does not fit the taxonomy, with the id it claimed to be for."""

    event_id: str | None
    reason: str


def _keep_refused(value: Any, handler: ValidatorFunctionWrapHandler) -> TagAnswer | RefusedAnswer:
    try:
        answer: TagAnswer = handler(value)
    except ValidationError as error:
        claimed = value.get("event_id") if isinstance(value, dict) else None
        return RefusedAnswer(claimed if isinstance(claimed, str) else None, _first_reasons(error))
    return answer


def _first_reasons(error: ValidationError, limit: int = 3) -> str:
    """Where and why, without the offending value: it is outside text and may be long or hostile."""
    found = []
    for item in error.errors(include_input=False, include_url=False, include_context=False)[:limit]:
        what = "not in the taxonomy" if item["type"] == "enum" else item["msg"]
        found.append(f"{field_of(item, root='answer')}: {what}")
    return "; ".join(found)


class TagBatch(BaseModel):
    """The answer for a prompt with several events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answers: tuple[
        Annotated[
            Annotated[TagAnswer, WrapValidator(_keep_refused)] | SkipJsonSchema[RefusedAnswer],
            # The first branch never fails, so nothing that a model writes is read as a refusal of ours.
            Field(union_mode="left_to_right"),
        ],
        ...,
    ]

    @property
    def accepted(self) -> list[TagAnswer]:
        return [answer for answer in self.answers if isinstance(answer, TagAnswer)]

    @property
    def refused(self) -> list[RefusedAnswer]:
        return [answer for answer in self.answers if isinstance(answer, RefusedAnswer)]
