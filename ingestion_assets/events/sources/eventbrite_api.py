"""Questions to Eventbrite's API v3, and what its refusals mean.

Belongs here: one request and its outcome. Which requests to make is in `eventbrite.py`.
Error codes: Eventbrite's API blueprint (docs/sources.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ingestion_assets.events.model import Json
from ingestion_assets.events.sources.fields import identifier, mapping, objects
from ingestion_assets.events.sources.timing import seconds_until, server_time
from resources.errors import PermanentError, TransientError
from resources.http import BodyError, HttpStatusError, OutboundClient, Reply, register_secret

_HOUR = 3_600.0
"""Seconds to stay away when the hourly limit is hit and no time is named: the budget is whole again then."""
EXPANSIONS = (
    "venue",
    "organizer",
    "category",
    "subcategory",
    "format",
    "event_sales_status",
    "ticket_availability",
    "external_ticketing",
)
"""What to ask for beside the event. One that fails takes its whole answer with it."""
_FULL_TRIES = 2


class ExpansionFailedError(PermanentError):
    """The service could not look up what stands beside its events; it can still answer without."""


class RefusedError(PermanentError):
    """One address was refused: the entry of a watch list that it stands for, not the whole fetch."""

    def __init__(self, message: str, *, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def about_token(self) -> bool:
        """Whether the token itself was refused."""
        return self.status == 401 or self.code == "INVALID_AUTH"


@dataclass(frozen=True, slots=True)
class Body:
    """An answer, and which expansions it could not be given with."""

    fields: dict[str, Json]
    lacking: tuple[str, ...] = ()


class EventbriteApi:
    """The API for one fetch. `base_url` ends in the version."""

    def __init__(self, client: OutboundClient, *, base_url: str, token: str) -> None:
        register_secret(token)
        self._client = client
        self._base = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    def get_expanded(self, path: str, params: Mapping[str, str]) -> Body:
        """The answer with all expansions that the service manages.

        When it fails to give all together, twice, each is asked for by itself and put in its place: dropping all for
        the sake of one would change every record of the page, and change it back the next time.
        """
        for _ in range(_FULL_TRIES):
            try:
                return Body(self.get(path, {"expand": ",".join(EXPANSIONS), **params}))
            except ExpansionFailedError:
                continue
        try:
            plain = self.get(path, params)
        except ExpansionFailedError:
            raise TransientError(f"Eventbrite failed to answer {path}, also without expansions") from None
        lacking: list[str] = []
        for name in EXPANSIONS:
            try:
                _graft(plain, self.get(path, {"expand": name, **params}), name)
            except ExpansionFailedError:
                lacking.append(name)
        return Body(plain, tuple(lacking))

    def get(self, path: str, params: Mapping[str, str]) -> dict[str, Json]:
        """The JSON object at `path`, which is written with its slashes (`/events/123/`).

        Raises `RefusedError` for 4xx, TransientError for what is worth asking later.
        """
        try:
            reply = self._client.get(
                self._base + path, params=params, headers=self._headers, inspect=_inspect, expect_json=True
            )
        except HttpStatusError as error:
            raise _refused(path, error.reply) from None
        body = reply.json()
        if not isinstance(body, dict):
            raise TransientError(f"Eventbrite answered {path} with something that is not a JSON object")
        return body


def _graft(plain: dict[str, Json], expanded: Mapping[str, Json], name: str) -> None:
    """Put the expansion `name` of each event into the event of the same id."""
    by_id = {event.get("id"): event for event in _events(expanded)}
    for event in _events(plain):
        other = by_id.get(event.get("id"))
        if other is not None and name in other:
            event[name] = other[name]


def _events(body: Mapping[str, Json]) -> list[dict[str, Json]]:
    """The events of a list with usable ids, or the event that the answer is."""
    found = objects(body.get("events", [body]))
    return [event for event in found if isinstance(event.get("id"), str)]


def _inspect(reply: Reply) -> None:
    """Raise what the error code says before the status alone decides."""
    if reply.status < 400:
        return
    code = identifier(_error(reply).get("error")) or ""
    if reply.status == 429 or code == "HIT_RATE_LIMIT":
        # No header is documented; where one is sent it is obeyed.
        wait = seconds_until(reply.headers.get("Retry-After"), now=server_time(reply))
        raise TransientError(
            "Eventbrite's hourly limit of requests is reached", retry_after=_HOUR if wait is None else wait
        )
    if code == "EXPANSION_FAILED":
        raise ExpansionFailedError("Eventbrite failed to expand its answer")


def _refused(path: str, reply: Reply) -> RefusedError:
    body = _error(reply)
    code = identifier(body.get("error")) or ""
    said = identifier(body.get("error_description")) or "no reason given"
    return RefusedError(
        f"Eventbrite refused {path} (HTTP {reply.status}{f', {code}' if code else ''}): {said}",
        status=reply.status,
        code=code,
    )


def _error(reply: Reply) -> Mapping[str, Json]:
    try:
        return mapping(reply.json())
    except BodyError:
        return {}
