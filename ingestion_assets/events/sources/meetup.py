"""Meetup: the events of the groups one names, by the GraphQL API `gql-ext`.

Belongs here: settings, the query, and cursors. One query and its errors are in `meetup_api.py`, what a node means in
`meetup_records.py`. The API has no stable search by area, so groups are listed by their `urlname`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from ingestion_assets.events.model import Event, FetchWarning, FetchWindow, Json, Page
from ingestion_assets.events.sources.base import SourceSettings
from ingestion_assets.events.sources.fields import (
    LeftOut,
    PageReader,
    identifier,
    mapping,
    objects,
    utc_bounds,
    warnings_of,
    zone_name,
)
from ingestion_assets.events.sources.meetup_api import JwtToken, MeetupApi, NotSeenError, StaticToken, error_codes
from ingestion_assets.events.sources.meetup_records import PUBLISHED, read_event
from resources.errors import PermanentError, TransientError
from resources.http import OutboundClient, OutboundPolicy
from resources.redaction import excerpt

MAX_PAGES = 1_000
"""Of one group. At 100 events a page no group comes near; a cursor that never ends would."""
_GROUP_URL = re.compile(r"^(?:https?://)?(?:www\.)?meetup\.com/(?:[a-z]{2}-[A-Za-z]{2}/)?([^/?#\s]+)")
_REQUIRED = "id token title eventUrl description status dateTime endTime group { id name urlname timezone }"
# The token is not among the optional fields: without it every event would change its identity.
# These are left out, one by one, when the schema says that it does not know them: it has changed without notice before.
_OPTIONAL = {
    "duration": "duration",
    "eventType": "eventType",
    "venues": "venues { id name address city state postalCode country lat lon venueType }",
    "featuredEventPhoto": "featuredEventPhoto { id baseUrl }",
    "feeSettings": "feeSettings { required amount currency }",
    "topics": "topics { edges { node { name } } }",
}


class MeetupSettings(SourceSettings):
    """Which groups, and as whom: a token, or the four values of the signed (JWT) flow."""

    model_config = SettingsConfigDict(env_prefix="MEETUP_")

    base_url: str = "https://api.meetup.com/gql-ext"
    """Replaces scheme, host and path of the GraphQL endpoint."""
    groups: str = ""
    """`urlname`s or addresses of groups, separated by commas or white space."""
    token: SecretStr | None = None
    """OAuth access token. Unset: the four values of the signed flow are needed."""
    client_key: SecretStr | None = None
    """Key of the OAuth client, the issuer of the signed assertion."""
    member_id: str | None = None
    """Member for whom the signed token is asked."""
    signing_key_id: str | None = None
    """Id of the signing key."""
    signing_key: SecretStr | None = None
    """RSA private key in PEM form, or the path of a file that holds it."""
    token_url: str = "https://secure.meetup.com/oauth2/access"  # noqa: S105 (an address)
    """Where signed assertions are exchanged for tokens."""
    page_size: int = Field(default=100, gt=0, le=200)
    """Events in one page."""
    requests_per_second: float = Field(default=2.0, gt=0)
    """Pace; the service allows 500 points a minute."""

    def missing(self) -> list[str]:
        """The groups, and one of the two ways to sign in."""
        absent = [] if self.urlnames() else ["MEETUP_GROUPS"]
        if self.token is not None:
            return absent
        flow = {
            "MEETUP_CLIENT_KEY": self.client_key,
            "MEETUP_MEMBER_ID": self.member_id,
            "MEETUP_SIGNING_KEY_ID": self.signing_key_id,
            "MEETUP_SIGNING_KEY": self.signing_key,
        }
        unset = [name for name, value in flow.items() if value is None]
        if len(unset) == len(flow):
            return [*absent, f"MEETUP_TOKEN (or {', '.join(flow)})"]
        return [*absent, *unset]

    def urlnames(self) -> list[str]:
        """The groups, each once, in order."""
        found = [name for name in re.split(r"[,\s]+", self.groups) if name]
        return list(dict.fromkeys(match[1] if (match := _GROUP_URL.match(name)) else name for name in found))


class GroupRefusedError(PermanentError):
    """What was refused is one group (it is private, for example), and neither the query nor the token."""


class MeetupSource:
    """Groups on Meetup as an event source."""

    name: ClassVar[str] = "meetup"
    title: ClassVar[str] = "Meetup"
    homepage: ClassVar[str] = "https://www.meetup.com/api/guide/"
    settings_class: ClassVar[type[SourceSettings]] = MeetupSettings
    record_version: ClassVar[int] = 1
    reading_settings: ClassVar[tuple[str, ...]] = ()
    volatile_paths: ClassVar[tuple[str, ...]] = (
        # Dealt anew to recurring events; the token is the identity.
        "id",
        # Who comes: not asked for, but a service in front of the API may add it.
        "rsvps",
        "going",
        "waiting",
    )

    def __init__(self, settings: MeetupSettings) -> None:
        self.settings = settings

    @property
    def policy(self) -> OutboundPolicy:
        """500 points a minute are allowed; what a query costs is not published, so the pace is slow."""
        return OutboundPolicy(
            name=self.name,
            requests_per_second=self.settings.requests_per_second,
            secret_params=frozenset({"assertion", "access_token", "refresh_token"}),
        )

    def fetch(self, window: FetchWindow, client: OutboundClient) -> Iterator[Page]:
        """The events of each group in turn. A group that is not there or refused is a warning; nothing is withdrawn."""
        missing = self.settings.missing()
        if missing:
            raise PermanentError(f"set {', '.join(missing)} to fetch from {self.title}")
        yield from _Fetch(self.settings, client, window).pages()


class _Fetch:
    def __init__(self, settings: MeetupSettings, client: OutboundClient, window: FetchWindow) -> None:
        self._settings = settings
        self._window = window
        self._api = MeetupApi(client, endpoint=settings.base_url, token=_token(settings, client))
        self._optional = dict(_OPTIONAL)
        self._warnings: list[FetchWarning] = []
        self._left_out: Counter[str] = Counter()
        self._lacking: str | None = None
        """What an answer with errors left empty."""
        self._seen: set[str] = set()
        """Events can belong to several groups."""

    def pages(self) -> Iterator[Page]:
        urlnames = self._settings.urlnames()
        refused: list[GroupRefusedError] = []
        for urlname in urlnames:
            try:
                yield from self._group(urlname)
            except GroupRefusedError as error:
                refused.append(error)
                yield _gap("group_refused", str(error))
        if len(refused) == len(urlnames):
            raise PermanentError(f"Meetup refused every group of MEETUP_GROUPS: {refused[0]}") from refused[0]
        closing = [*self._warnings, *warnings_of(self._left_out, "Meetup events")]
        if closing:
            yield Page(records=(), warnings=closing, incomplete=self._lacking)

    def _group(self, urlname: str) -> Iterator[Page]:
        """All events of a group. Ends when the cursor ends, stands still or brings nothing new."""
        cursors: set[str] = set()
        met: set[str] = set()
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            group = self._asked(urlname, cursor)
            if group is None and cursor is None and self._exists(urlname):
                # Null is also how a group without matching events is answered. Once more, should it have been a slip.
                group = self._asked(urlname, cursor)
                if group is None:
                    return
            if group is None:
                yield _gap("group_not_found", f"Meetup knows no group {urlname!r}: check MEETUP_GROUPS")
                return
            connection = mapping(group.get("events"))
            edges = connection["edges"]
            yield self._page_of(edges, group, met)
            info = mapping(connection.get("pageInfo"))
            cursor = identifier(info.get("endCursor"))
            if info.get("hasNextPage") is not True:
                return
            if cursor is None or cursor in cursors or not edges:
                # It happens on the last page; the group's own count tells whether it was the last.
                total = connection.get("totalCount")
                if not isinstance(total, int) or len(met) < total:
                    yield _gap(
                        "cursor_stuck", f"Meetup's list of {urlname!r} stopped after {len(met)} of {total} events"
                    )
                return
            cursors.add(cursor)
        yield _gap("too_many_pages", f"Meetup's list of {urlname!r} did not end after {MAX_PAGES} pages")

    def _page_of(self, edges: list[Json], group: dict[str, Json], met: set[str]) -> Page:
        reader = PageReader(self._window)
        zone = zone_name(group.get("timezone"))

        def read(node: dict[str, Json]) -> Event | LeftOut:
            return read_event(node, default_zone=self._window.zone, group_zone=zone)

        for edge in edges:
            node = edge.get("node") if isinstance(edge, dict) else edge
            key = _key(node)
            if key is not None:
                met.add(key)
                if key in self._seen:
                    continue
                self._seen.add(key)
            reader.add(node, read, known_as=key)
        self._left_out += reader.left_out
        return reader.page()

    def _asked(self, urlname: str, cursor: str | None) -> dict[str, Json] | None:
        """The group with one page of its events; None when the service has no such group."""
        begin, end = utc_bounds(self._window)
        variables: dict[str, Any] = {
            "urlname": urlname,
            "first": self._settings.page_size,
            "after": cursor,
            "status": list(PUBLISHED),
            "from": begin.isoformat(),
            "to": end.isoformat(),
        }
        while True:
            body = self._answer(urlname, self._document(), variables)
            errors = objects(body.get("errors"))
            data = mapping(body.get("data"))
            group = data.get("groupByUrlname")
            edges = mapping(mapping(group).get("events")).get("edges")
            if isinstance(group, dict) and isinstance(edges, list):
                if errors:
                    self._warnings.append(FetchWarning("partial_answer", f"{urlname}: {_said(errors)}"))
                    if any(mapping(edge).get("node") is None for edge in edges):
                        # A node that could not be resolved is null: which event it was, nobody says.
                        self._lacking = f"Meetup answered for {urlname!r} with errors in place of events"
                return group
            if not errors or "NOT_FOUND" in error_codes(errors):
                if group is None and ("groupByUrlname" in data or errors):
                    return None
                raise TransientError(f"Meetup answered for {urlname!r} without a group and without an error")
            if not self._without_unknown_fields(errors):
                kind = GroupRefusedError if all(map(_about_group, errors)) else PermanentError
                raise kind(f"Meetup refused the query for {urlname!r}: {_said(errors)}")

    def _exists(self, urlname: str) -> bool:
        """Whether the service knows the group when nothing is asked of its events."""
        document = "query($urlname: String!) { groupByUrlname(urlname: $urlname) { id } }"
        body = self._answer(urlname, document, {"urlname": urlname})
        return isinstance(mapping(body.get("data")).get("groupByUrlname"), dict)

    def _answer(self, urlname: str, document: str, variables: dict[str, Any]) -> dict[str, Json]:
        try:
            return self._api.query(document, variables)
        except NotSeenError as error:
            # Whether all is refused shows when every group is.
            raise GroupRefusedError(f"{urlname!r}: {error}") from error

    def _without_unknown_fields(self, errors: list[dict[str, Json]]) -> bool:
        """Drop the optional fields that validation complains of. False when it complains of something else."""
        said = " ".join(str(error.get("message")) for error in errors)
        unknown = [name for name in self._optional if re.search(rf"\b{name}\b", said)]
        for name in unknown:
            del self._optional[name]
            self._warnings.append(FetchWarning("field_unknown", f"Meetup's schema no longer has Event.{name}"))
        return bool(unknown)

    def _document(self) -> str:
        fields = " ".join((_REQUIRED, *self._optional.values()))
        return (
            "query($urlname: String!, $first: Int!, $after: String, $status: [EventStatus!], $from: DateTime, "
            "$to: DateTime) { groupByUrlname(urlname: $urlname) { id name urlname timezone "
            "events(first: $first, after: $after, sort: ASC, "
            "filter: {status: $status, afterDateTime: $from, beforeDateTime: $to}) "
            f"{{ totalCount pageInfo {{ hasNextPage endCursor }} edges {{ node {{ {fields} }} }} }} }} }}"
        )


def _token(settings: MeetupSettings, client: OutboundClient) -> StaticToken | JwtToken:
    if settings.token is not None:
        return StaticToken(settings.token.get_secret_value())
    return JwtToken(
        client,
        url=settings.token_url,
        client_key=settings.client_key.get_secret_value() if settings.client_key else "",
        member_id=settings.member_id or "",
        key_id=settings.signing_key_id or "",
        signing_key=settings.signing_key.get_secret_value() if settings.signing_key else "",
    )


def _key(node: Json) -> str | None:
    fields = mapping(node)
    return identifier(fields.get("token")) or identifier(fields.get("id"))


def _gap(code: str, detail: str) -> Page:
    return Page(records=(), warnings=(FetchWarning(code, detail),), incomplete=detail)


def _about_group(error: Mapping[str, Json]) -> bool:
    """Whether the group could not be looked up. An error in the query itself has no path (GraphQL, section 7.1.2)."""
    path = error.get("path")
    return isinstance(path, list) and path[:1] == ["groupByUrlname"]


def _said(errors: list[dict[str, Json]]) -> str:
    return "; ".join(excerpt(str(error.get("message")), 200) for error in errors[:3])
