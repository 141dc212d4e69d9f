"""What goes over the wire, as the OpenAPI document describes it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("holds a NUL character")
    value.encode()  # half of a surrogate pair: valid JSON, and no text
    return value


def storable(value: str) -> str:
    """The text, if it can be stored. Raises ValueError."""
    try:
        return _storable(value)
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair") from None


Text = Annotated[str, AfterValidator(storable)]


class Strict(BaseModel):
    """A body of a request: unknown members are mistakes."""

    model_config = ConfigDict(extra="forbid")


class Tags(BaseModel):
    """Tags of the closed taxonomy."""

    type: str
    genres: list[str]
    ambiance: list[str]
    audience: list[str]


class EventOut(BaseModel):
    """A canonical event: one for each real one, whoever lists it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "evt_0190f3c8",
                    "title": "Quatuor Molinari",
                    "status": "scheduled",
                    "precision": "datetime",
                    "date": "2026-12-04",
                    "start_local": "2026-12-04T19:30:00",
                    "start": "2026-12-05T00:30:00+00:00",
                    "timezone": "America/Toronto",
                    "end_date": None,
                    "end_local": None,
                    "venue": {"name": "Salle Bourgie", "city": "Montréal"},
                    "city": "Montréal",
                    "online": False,
                    "description": None,
                    "url": "https://example.org/events/1",
                    "image_url": None,
                    "price": {"free": False, "minimum": 25.0, "currency": "CAD"},
                    "organizer": None,
                    "performers": [],
                    "categories": [],
                    "language": "fr",
                    "tags": {"type": "concert", "genres": ["classical"], "ambiance": [], "audience": []},
                    "sources": ["ics", "lavitrine"],
                    "created_at": "2026-11-20T03:10:00+00:00",
                    "changed_at": "2026-11-20T03:10:00+00:00",
                    "withdrawn_at": None,
                    "replaced_by": None,
                }
            ]
        }
    )

    id: str
    title: str
    status: Literal["scheduled", "tentative", "rescheduled", "postponed", "cancelled"]
    precision: Literal["datetime", "date", "tba"]
    date: date
    start_local: str | None = Field(description="Wall clock at the venue, without offset. null: only the day is known.")
    start: datetime | None
    timezone: str | None
    end_date: str | None = Field(description="Last local day, included.")
    end_local: str | None
    venue: dict[str, Any] | None
    city: str | None
    online: bool
    description: str | None
    url: str | None
    image_url: str | None
    price: dict[str, Any] | None
    organizer: str | None
    performers: list[str]
    categories: list[str]
    language: str | None
    tags: Tags | None
    sources: list[str]
    created_at: datetime
    changed_at: datetime
    withdrawn_at: datetime | None = Field(description="Since when its sources no longer list it.")
    replaced_by: str | None


class EventList(BaseModel):
    """A page of events."""

    events: list[EventOut]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


class JobError(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class JobOut(BaseModel):
    """An asynchronous job."""

    id: UUID
    kind: str
    state: Literal["pending", "running", "completed", "failed", "cancelled"]
    attempt: int
    max_attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    not_before: datetime
    cancel_requested: bool
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: JobError | None
    links: dict[str, str]


class AiRequest(Strict):
    """Something that takes a language model, done in the background."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"kind": "ai.ask", "arguments": {"question": "What is osmosis?"}}]},
    )

    kind: Text = Field(max_length=100, description="One of the kinds that this installation offers.")
    arguments: dict[Text, Any] = Field(default_factory=dict, description="As the kind describes them.")


class LaunchOut(BaseModel):
    """A run that was asked for."""

    id: UUID
    source: str
    job: str
    state: Literal["pending", "launched", "failed"]
    run_id: str | None
    error: str | None
    created_at: datetime
    created: bool = Field(description="false: the same run was waiting to be launched already.")


class LaunchList(BaseModel):
    """Runs that were asked for together."""

    launches: list[LaunchOut]
    skipped: dict[str, str] = Field(description="Sources that are off, each with what to set.")


class IngestRequest(Strict):
    """Which weeks to import. Without them the coming ones, as the nightly schedule does."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"from": "2026-11-23", "to": "2026-12-20"}]},
        populate_by_name=True,
    )

    first: date | None = Field(default=None, alias="from", description="A local day of the first week.")
    last: date | None = Field(default=None, alias="to", description="A local day of the last week.")
