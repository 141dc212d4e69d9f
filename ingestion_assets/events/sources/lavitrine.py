"""La Vitrine, Quebec's cultural calendar: by its REST API, or by schema.org data in pages.

Belongs here: the two ways in and what is particular to La Vitrine (types that share ids, stubs and details, limits by
header). The map from schema.org to our event is `schema_event.py`, the walk through pages `site_pages.py`.

API: https://github.com/bboxdigital/lvc-api-docs (v1, 2024). Lists are stubs, each event is a request of its own. The API
offers `lastModified` to ask for changes only; it is not used, because a fetch must say of every event of its window
that it is still there.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from ingestion_assets.events.model import (
    Event,
    FetchWarning,
    FetchWindow,
    Json,
    Page,
    RejectedRecord,
    RejectReason,
)
from ingestion_assets.events.sources.base import SourceSettings
from ingestion_assets.events.sources.fields import PageReader, identifier, utc_bounds, warnings_of, web_url
from ingestion_assets.events.sources.jsonld import dated_parts
from ingestion_assets.events.sources.patience import Patience
from ingestion_assets.events.sources.schema_event import VOLATILE_PATHS, Rules, read_event, type_names
from ingestion_assets.events.sources.schema_time import moment
from ingestion_assets.events.sources.site_pages import DEFAULT_LINKS, Site, fetch_site
from ingestion_assets.events.sources.timing import seconds_until, server_time
from resources.errors import PermanentError, TransientError
from resources.http import OutboundClient, OutboundPolicy
from resources.redaction import excerpt, redact_url

if TYPE_CHECKING:
    from resources.http import Reply

ENDPOINTS = {"Event": "events", "EventSeries": "eventSeries", "ExhibitionEvent": "exhibitionEvents"}
"""The kinds of events, and where the details of each are. The same id exists in several kinds."""

PAGE_SIZE = 100
REQUESTS_PER_MINUTE = 100
MAX_PAGES = 1000
_BATCH = 50


class LaVitrineSettings(SourceSettings):
    """La Vitrine: a key for the API, or addresses of pages."""

    model_config = SettingsConfigDict(env_prefix="LAVITRINE_", env_ignore_empty=True, extra="ignore", frozen=True)

    api_key: SecretStr | None = None
    """Given out by La Vitrine on request."""
    base_url: str = "https://api.lavitrine.com/v1"
    """Replaces scheme, host and version of the API."""
    page_urls: str = Field(default="", repr=False)
    """Listing pages or sitemaps whose event pages carry schema.org data, separated by commas or white space."""
    max_pages: int = 500
    """Pages asked for in one fetch by way of `page_urls`."""
    link_pattern: str = DEFAULT_LINKS
    """Regular expression that the path of an event page matches."""
    lang: str = "fr"
    """Language preferred where a text comes in several: `fr` or `en`."""
    requests_per_minute: int | None = Field(default=None, gt=0)
    """Unset: the 100 that every key has; more is given on request. Servers on this machine are then not paced."""

    @field_validator("page_urls")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for url in re.findall(r"[^\s,]+", value):
            if web_url(url) is None or urlsplit(url).hostname is None:
                raise ValueError(f"LAVITRINE_PAGE_URLS holds {redact_url(url)!r}, which is no http address")
        return value

    @field_validator("link_pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"LAVITRINE_LINK_PATTERN is not a regular expression: {error}") from error
        return value

    @property
    def pages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(re.findall(r"[^\s,]+", self.page_urls)))

    def missing(self) -> list[str]:
        return [] if self.api_key or self.pages else ["LAVITRINE_API_KEY or LAVITRINE_PAGE_URLS"]


class LaVitrineSource:
    """Events, series and exhibitions of La Vitrine."""

    name: ClassVar[str] = "lavitrine"
    title: ClassVar[str] = "La Vitrine"
    homepage: ClassVar[str] = "https://github.com/bboxdigital/lvc-api-docs"
    volatile_paths: ClassVar[tuple[str, ...]] = VOLATILE_PATHS
    record_version: ClassVar[int] = 3
    reading_settings: ClassVar[tuple[str, ...]] = ("lang",)
    settings_class: ClassVar[type[SourceSettings]] = LaVitrineSettings

    def __init__(self, settings: LaVitrineSettings) -> None:
        self.settings = settings
        self._base = settings.base_url.rstrip("/")
        self._rules = Rules(languages=tuple(dict.fromkeys((settings.lang, "fr", "en"))), country="CA")

    @property
    def policy(self) -> OutboundPolicy:
        """100 requests a minute and key; pages of a site are not asked for faster.

        A server on this machine is nobody to be polite to, and says itself when it has enough.
        """
        settings = self.settings
        asked = (*((self._base,) if settings.api_key else ()), *settings.pages)
        local = all(urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1") for url in asked)
        pace = settings.requests_per_minute or (None if local else REQUESTS_PER_MINUTE)
        return OutboundPolicy(name=self.name, requests_per_second=pace / 60 if pace else None)

    def fetch(self, window: FetchWindow, client: OutboundClient) -> Iterator[Page]:
        """The events that begin inside `window`, by each way that is configured.

        Exhibitions without dates are always on: they come undated with every fetch.
        """
        if self.settings.api_key:
            yield from self._from_api(window, client)
        if self.settings.pages:
            site = Site(
                start_urls=self.settings.pages,
                max_pages=self.settings.max_pages,
                links=re.compile(self.settings.link_pattern),
                rules=self._rules,
            )
            yield from fetch_site(site, window, client)

    def _from_api(self, window: FetchWindow, client: OutboundClient) -> Iterator[Page]:
        """All events of every kind. The lists are read to their ends first: they would shift during the slower details,
        and a series has to know which of its parts are listed themselves.
        """
        lists = {kind: self._list(kind, window, client) for kind in ENDPOINTS}
        if all(listed.absent for listed in lists.values()):
            raise PermanentError(f"{redact_url(self._base)} knows no searchEvents (HTTP 404): check LAVITRINE_BASE_URL")
        known = {f"{kind}:{native_id}" for kind, listed in lists.items() for native_id in listed.ids}
        for kind, listed in lists.items():
            yield from self._kind(kind, listed, known, window, client)

    def _kind(
        self, kind: str, listed: _List, known: set[str], window: FetchWindow, client: OutboundClient
    ) -> Iterator[Page]:
        """All events of one kind. `known`: what is listed of any kind, and the unlisted parts of series met so far."""
        left_out: Counter[str] = Counter()
        reader = PageReader(window, left_out=left_out)
        reader.refuse(*listed.refused)
        gone = failed = 0
        patience = Patience()
        wanted = deque((kind, native_id) for native_id in listed.ids)
        while wanted:
            own_kind, native_id = wanted.popleft()
            try:
                wanted.extend(self._detail(own_kind, native_id, known, reader, client))
                patience.answered()
            except _GoneError:
                gone += 1
            except _KeyRefusedError:
                raise
            except PermanentError as error:
                # An answer, and about this record: the next one may be had.
                patience.answered()
                failed += 1
                reader.refuse(_unread(own_kind, native_id, error))
            except TransientError as error:
                if patience.asks_again((own_kind, native_id), error):
                    wanted.append((own_kind, native_id))
                    continue
                failed += 1
                reader.refuse(_unread(own_kind, native_id, error))
            if len(reader.records) >= _BATCH and wanted:
                yield reader.page()
                reader = PageReader(window, left_out=left_out)
        warnings = list(warnings_of(left_out, f"La Vitrine's {kind} records"))
        if gone:
            warnings.append(FetchWarning("detail_gone", f"{gone} listed {kind} records are gone since"))
        incomplete = f"{failed} {kind} records could not be read" if failed else listed.incomplete
        yield reader.page(warnings=warnings, incomplete=incomplete)

    def _list(self, kind: str, window: FetchWindow, client: OutboundClient) -> _List:
        """The ids of one kind."""
        ids: dict[str, None] = {}
        result = _List()
        offset, largest = 0, 0
        for _ in range(MAX_PAGES):
            try:
                stubs = self._search(kind, offset, window, client)
            except _GoneError:
                # Nobody says that the list is over, or empty: what was not listed may well be there.
                result.absent = offset == 0
                result.incomplete = f"the list of {kind} is not there at offset {offset}"
                break
            before = len(ids) + len(result.refused)
            for stub in stubs:
                found = identifier(stub.get("identifier")) if isinstance(stub, dict) else None
                if found is None:
                    result.refused.append(_without_id(stub))
                else:
                    ids[found] = None
            # A server that caps `limit` sends pages shorter than asked: short is what is shorter than another page.
            if not stubs or len(stubs) < largest:
                break
            if len(ids) + len(result.refused) == before:
                result.incomplete = f"the list of {kind} repeats itself at offset {offset}"
                break
            largest = max(largest, len(stubs))
            offset += len(stubs)
        else:
            result.incomplete = f"the list of {kind} does not end after {MAX_PAGES} pages"
        result.ids = list(ids)
        return result

    def _search(self, kind: str, offset: int, window: FetchWindow, client: OutboundClient) -> list[Json]:
        params: dict[str, Any] = {"schema": kind, "limit": PAGE_SIZE, "offset": offset, "lang": self.settings.lang}
        if kind != "ExhibitionEvent":  # permanent ones have no dates to be found by
            begin, end = utc_bounds(window)
            params |= {"startDate": int(begin.timestamp()), "endDate": int(end.timestamp())}
        answer = self._get("searchEvents", params, client)
        if not isinstance(answer, list):
            raise TransientError("La Vitrine answered a search with something else than a list")
        return answer

    def _detail(
        self, kind: str, native_id: str, known: set[str], reader: PageReader, client: OutboundClient
    ) -> list[tuple[str, str]]:
        """Reads one record. Returns kind and id of what it says that there is, and no list named."""
        path = f"{ENDPOINTS[kind]}/{quote(native_id, safe='')}"
        answer = self._get(path, {"lang": self.settings.lang}, client)
        if kind == "EventSeries" and isinstance(answer, dict) and (parts := dated_parts(answer)):
            # A festival or a tour begins on a day on which it need not play: its parts are the events.
            reader.left_out["series_parent"] += 1
            return list(self._unlisted(parts, known, reader))

        source_id = f"{kind}:{native_id}"

        def read(node: dict[str, Json]) -> Event:
            event = read_event(node, self._rules, source_id=source_id, undated=kind == "ExhibitionEvent")
            return replace(event, series_id=_series_id(node) or event.series_id)

        reader.add(answer, read, known_as=source_id)
        return []

    def _unlisted(self, parts: list[dict[str, Json]], known: set[str], reader: PageReader) -> Iterator[tuple[str, str]]:
        """The parts of a series that are in the window and in no list: in their series they are told in short only."""
        for part in parts:
            start = moment(part["startDate"], self._rules.zone)
            if start is not None and start.date not in reader.window:
                continue
            native_id = identifier(part.get("identifier"))
            kind = next((kind for kind in type_names(part) if kind in ENDPOINTS), "Event")
            if native_id is None:
                reader.refuse(_without_id(part))
            elif kind != "EventSeries" and f"{kind}:{native_id}" not in known:  # or series could lead on for ever
                known.add(f"{kind}:{native_id}")
                yield kind, native_id

    def _get(self, path: str, params: Mapping[str, Any], client: OutboundClient) -> Json:
        from resources.http import HttpStatusError

        key = self.settings.api_key
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        try:
            reply = client.get(
                f"{self._base}/{path}", params=params, headers=headers, inspect=_refuse, expect_json=True
            )
        except HttpStatusError as error:
            if error.status in (404, 410):
                raise _GoneError(str(error)) from error
            raise
        return reply.json()


@dataclass(slots=True)
class _List:
    """What the search lists of one kind."""

    ids: list[str] = field(default_factory=list)
    refused: list[RejectedRecord] = field(default_factory=list)
    """Stubs without an id."""
    incomplete: str | None = None
    """Why the list may not be whole."""
    absent: bool = False
    """The service says that there is no such list."""


class _GoneError(PermanentError):
    """Listed a moment ago, and not there now."""


class _KeyRefusedError(PermanentError):
    """The key is refused: for one record as for all."""


def _refuse(reply: Reply) -> None:
    """Limits are announced by headers of La Vitrine's own: the reset is a time in epoch seconds."""
    if reply.status == 401:
        raise _KeyRefusedError("La Vitrine refuses the key: check LAVITRINE_API_KEY")
    if reply.status == 429:
        reset = seconds_until(reply.headers.get("X-RateLimit-Reset"), now=server_time(reply))
        if reset is not None and "Retry-After" not in reply.headers:
            raise TransientError("La Vitrine's limit of requests is reached", retry_after=reset)


def _series_id(node: Mapping[str, Any]) -> str | None:
    parent = node.get("superEvent")
    if isinstance(parent, list):
        parent = next((item for item in parent if isinstance(item, dict)), None)
    found = identifier(parent.get("identifier")) if isinstance(parent, dict) else None
    return f"EventSeries:{found}" if found else None


def _without_id(stub: Json) -> RejectedRecord:
    if not isinstance(stub, dict):
        detail = f"a stub that is no object but {type(stub).__name__}"
        return RejectedRecord(
            reason=RejectReason.NOT_AN_OBJECT, detail=detail, payload={"stub": excerpt(repr(stub), 200)}
        )
    detail = "a stub without `identifier`"
    return RejectedRecord(reason=RejectReason.MISSING_ID, detail=detail, payload={"stub": excerpt(repr(stub), 500)})


def _unread(kind: str, native_id: str, error: PermanentError | TransientError) -> RejectedRecord:
    detail = f"its details could not be had: {error}"[:300]
    return RejectedRecord(
        reason=RejectReason.UNPARSABLE,
        detail=detail,
        payload={"@type": kind, "identifier": native_id},
        source_id=f"{kind}:{native_id}",
    )
