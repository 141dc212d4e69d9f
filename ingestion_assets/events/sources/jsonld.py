"""Events out of pages: every schema.org Event in the JSON-LD blocks of an HTML page, or in JSON itself.

Belongs here: finding the events (blocks, `@graph`, lists, references), telling them apart (ids, repeated blocks) and
taking them apart (`subEvent`, `eventSchedule`). What a property means belongs to `schema_event.py`.

    reading = read_html(page, window=window, rules=Rules(page_url=url))
    reading.records         # Event | RejectedRecord
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from ingestion_assets.events.model import Event, FetchWindow, Json, Moment, RejectedRecord, RejectReason
from ingestion_assets.events.sources.fields import PageReader, RecordFault
from ingestion_assets.events.sources.loose_json import loose_values
from ingestion_assets.events.sources.schema_event import Rules, read_event, text_of, type_names
from ingestion_assets.events.sources.schema_time import MAX_OCCURRENCES, moment, occurrences, scalar
from ingestion_assets.events.sources.text import clean_text
from resources.redaction import excerpt

MAX_BLOCK_CHARS = 8_000_000
_MOST_SCHEDULES = 50
_MAX_ID_CHARS = 500
MAX_NODES = 200_000
"""Objects and lists looked at in one page."""

_NOT_ATTENDED = frozenset({"DeliveryEvent", "PublicationEvent", "BroadcastEvent", "OnDemandEvent", "UserInteraction"})
_EVENT_CLASSES = frozenset({"Festival", "Hackathon", "EventSeries", "CourseInstance"})
# Under these an event is context of another one, told to explain it.
_CONTEXT = frozenset({"superEvent", "recordedIn", "releasedEvent", "previousEvent", "@context"})
_FOLLOWED = frozenset(
    {
        *("location", "address", "geo", "organizer", "performer", "performers", "offers", "priceSpecification"),
        *("image", "audience", "superEvent", "subEvent", "subEvents", "eventSchedule"),
    }
)
"""Properties whose references are replaced by what they refer to; the others are not read, and often point back."""
_MAX_FOLLOWED = 5
_MOST_FOLLOWED = 20_000
_NAMING = ("@id", "@type", "identifier", "name", "url")
_INHERITED = (
    *("name", "description", "location", "image", "offers", "organizer", "performer", "performers", "eventStatus"),
    *("eventAttendanceMode", "url", "inLanguage", "audience", "genre", "keywords", "disciplines", "typicalAgeRange"),
    *("isAccessibleForFree", "duration"),
)
_BASE = re.compile(r"<base\s", re.IGNORECASE)
_TRACKING = ("utm_", "fbclid", "gclid", "mc_cid", "mc_eid")


def read_html(html: str, *, window: FetchWindow, rules: Rules) -> PageReader:
    """The events of all JSON-LD blocks of a page that begin inside `window`, and what could not be read."""
    values: list[Json] = []
    faults: list[RejectedRecord] = []
    for block in json_ld_blocks(html):
        if len(block) > MAX_BLOCK_CHARS:
            faults.append(_refused(RejectReason.TOO_LARGE, f"a JSON-LD block of {len(block)} characters", block, rules))
            continue
        try:
            values.extend(loose_values(block))
        except RecursionError:
            faults.append(_refused(RejectReason.TOO_DEEP, "a JSON-LD block that is nested too deeply", block, rules))
        except ValueError as error:
            if "Event" in block or "Festival" in block:
                detail = f"a JSON-LD block that is not JSON: {error}"
                faults.append(_refused(RejectReason.UNPARSABLE, detail, block, rules))
    reader = read_json(values, window=window, rules=rules)
    reader.refuse(*faults)
    return reader


def read_json(value: Json, *, window: FetchWindow, rules: Rules) -> PageReader:
    """The events anywhere inside a JSON value that begin inside `window`, and what could not be read."""
    reader = PageReader(window)
    nodes, exhausted = _event_nodes(value)
    if exhausted:
        detail = f"more than {MAX_NODES} JSON-LD nodes in a page"
        reader.refuse(_refused(RejectReason.TOO_LARGE, detail, "", rules))
    identified = [(found, list(_parts(found, rules))) for found in _identified(nodes, rules)]
    # What stands both in the page and in the `subEvent` of another is read there, where it is complete.
    told = {part.source_id for found, parts in identified for part in parts}
    parents = {name for found, _ in identified if (name := _parent_id(found.node)) is not None}
    for found, parts in identified:
        undated_parent = str(found.node.get("@id")) in parents and not _written(found.node.get("startDate"))
        if not parts and (found.source_id in told or undated_parent):
            continue
        _read(found, parts, reader, rules)
    return reader


def json_ld_blocks(html: str) -> Iterator[str]:
    """The text of each `<script type="application/ld+json">`."""
    if "ld+json" not in html and "LD+JSON" not in html.upper():
        return
    from selectolax.lexbor import LexborHTMLParser

    # Lone surrogates cannot be given to the parser; they come from careless decoding upstream.
    tree = LexborHTMLParser(html.encode("utf-8", "replace"))
    for script in tree.css("script"):
        if "ld+json" in (script.attributes.get("type") or "").lower():
            yield script.text(deep=True) or ""


def base_of(html: str, page_url: str) -> str:
    """What relative addresses in a page are relative to: what its first `<base href>` says, else the page itself.

    That holds for its JSON-LD as well (JSON-LD 1.1, section 7.1).
    """
    if _BASE.search(html) is None:
        return page_url
    from selectolax.lexbor import LexborHTMLParser

    node = LexborHTMLParser(html.encode("utf-8", "replace")).css_first("base[href]")
    try:
        found = urljoin(page_url, (node.attributes.get("href") or "").strip()) if node else page_url
    except ValueError:
        return page_url
    return found if found.startswith(("https://", "http://")) else page_url


def is_event(node: Mapping[str, Any]) -> bool:
    """Whether a node is an Event of schema.org that people can attend, of whatever subclass."""
    return any(
        kind in _EVENT_CLASSES or (kind.endswith("Event") and kind not in _NOT_ATTENDED) for kind in type_names(node)
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """An event node with the id it is known by, and its parent's where it is one date of that."""

    node: dict[str, Any]
    source_id: str
    series_id: str | None = None


def _event_nodes(value: Json) -> tuple[list[dict[str, Any]], bool]:
    """The outermost event nodes in document order, references replaced, and whether the search was broken off."""
    index: dict[str, dict[str, Any]] = {}
    found: list[dict[str, Any]] = []
    # An explicit stack: JSON nested a thousand deep must not exhaust Python's. Children are pushed in reverse order.
    stack: list[tuple[Json, bool]] = [(value, False)]
    seen = 0
    while stack:
        item, inside = stack.pop()
        if isinstance(item, list):
            seen += 1
            stack.extend((child, inside) for child in reversed(item) if isinstance(child, dict | list))
        elif isinstance(item, dict):
            seen += 1
            node = _plain(item)
            name = node.get("@id")
            if isinstance(name, str) and len(node) > len(index.get(name, ())) and len(node) > 1:
                index[name] = node
            outermost = not inside and is_event(node)
            if outermost:
                found.append(node)
            for key, child in reversed(node.items()):
                if isinstance(child, dict | list):
                    stack.append((child, inside or outermost or key in _CONTEXT))
        if seen > MAX_NODES:
            return found, True
    references = _References(index)
    return [references.payload(node) for node in found], False


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    """A node whose keys have lost the prefixes `schema:` and `https://schema.org/`."""
    if not any(":" in key for key in node):
        return node
    return {_unprefixed(key): value for key, value in node.items()}


def _unprefixed(key: str) -> str:
    for prefix in ("schema:", "https://schema.org/", "http://schema.org/"):
        if key.startswith(prefix):
            return key[len(prefix) :]
    return key


class _References:
    """The nodes of a page by their `@id`, to be put where they are referred to."""

    def __init__(self, index: Mapping[str, dict[str, Any]]) -> None:
        self._index = index
        # Nodes that refer to each other many times over could otherwise multiply without end.
        self._left = _MOST_FOLLOWED

    def payload(self, node: dict[str, Any]) -> dict[str, Any]:
        """The node with its references filled in, without the context, its parent cut down to what names it."""
        name = node.get("@id")
        above = frozenset({name}) if isinstance(name, str) else frozenset()
        result = self._children(node, above, 0)
        result.pop("@context", None)
        parent = result.get("superEvent")
        if isinstance(parent, dict):
            result["superEvent"] = {key: parent[key] for key in _NAMING if key in parent}
        return result

    def _children(self, node: dict[str, Any], above: frozenset[str], depth: int) -> dict[str, Any]:
        return {
            key: self._filled(child, above, depth + 1) if key in _FOLLOWED and isinstance(child, dict | list) else child
            for key, child in node.items()
        }

    def _filled(self, value: Json, above: frozenset[str], depth: int) -> Json:
        self._left -= 1
        if depth > _MAX_FOLLOWED or self._left < 0:
            return value
        if isinstance(value, list):
            return [self._filled(item, above, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        node = _plain(value)
        name = node.get("@id")
        if isinstance(name, str):
            if name in above:
                return node
            above |= {name}
            node = {**self._index.get(name, {}), **node}
        return self._children(node, above, depth)


def _identified(nodes: Sequence[dict[str, Any]], rules: Rules) -> list[_Found]:
    """The nodes with their ids; a repeated block is one node, the fuller copy of it.

    Nodes that share an id and begin at different times are dates of one event: each then has its date in its id.
    """
    best: dict[tuple[str, str], dict[str, Any]] = {}
    dates: dict[str, set[str]] = {}
    for node in nodes:
        name = own_id(node, rules) or _fingerprint(node, rules, alone=len(nodes) == 1)
        written = _written(node.get("startDate"))
        if len(node) > len(best.get((name, written), ())):
            best[name, written] = node
        dates.setdefault(name, set()).add(written)
    found = []
    for (name, written), node in best.items():
        if len(dates[name]) == 1:
            found.append(_Found(node, name))
        elif written:
            found.append(_Found(node, f"{name}#{_suffix(node, rules) or written}", name))
        # A copy without a date, beside copies with one, is the listing's short form of them.
    return found


def own_id(node: Mapping[str, Any], rules: Rules) -> str | None:
    """What the page calls the event: `@id`, else `url`, else `identifier`, absolute and without tracking parameters."""
    for name in ("@id", "url"):
        value = scalar(node.get(name))
        if isinstance(value, dict):
            value = value.get("@id")
        text = clean_text(value) if isinstance(value, str) else None
        if text and not text.startswith("_:"):
            return _short(plain_url(text, rules.base))
    value = scalar(node.get("identifier"))
    if isinstance(value, dict):
        value = scalar(value.get("value", value.get("@id")))
    text = clean_text(value)
    return _short(text) if text else None


def _short(text: str) -> str:
    """An id that fits a database index: a hash of it when it is too long."""
    return text if len(text) <= _MAX_ID_CHARS else _hash(text)


def _hash(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def plain_url(text: str, base: str) -> str:
    """An address made absolute and freed of tracking parameters; `text` itself when it is no address."""
    try:
        parts = urlsplit(urljoin(base, text))
    except ValueError:
        return text
    query = parts.query
    if any(sign in query for sign in _TRACKING):
        kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if not pair[0].startswith(_TRACKING)]
        query = urlencode(kept)
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path, query, parts.fragment))


def _fingerprint(node: Mapping[str, Any], rules: Rules, *, alone: bool) -> str:
    """An id for an event that has none: its page's address when it is alone there, else a hash of what it is."""
    if alone and rules.page_url:
        return _short(rules.page_url)
    place = scalar(node.get("location"))
    parts = (node.get("name"), node.get("startDate"), place.get("name") if isinstance(place, dict) else place)
    said = json.dumps([rules.page_url, *(text_of(part, rules.languages)[0] for part in parts)], ensure_ascii=False)
    return _hash(said)


def _written(value: Json) -> str:
    value = scalar(value)
    return str(value)[:100] if isinstance(value, str | int | float) else ""


def _suffix(node: Mapping[str, Any], rules: Rules) -> str | None:
    """The local start as part of an id, the same however the page writes its offset."""
    start = moment(node.get("startDate"), rules.zone)
    return None if start is None else _local(start)


def _local(start: Moment) -> str:
    return start.date.isoformat() if start.local is None else start.local.isoformat(timespec="minutes")


def _parent_id(node: Mapping[str, Any]) -> str | None:
    parent = node.get("superEvent")
    name = parent.get("@id") if isinstance(parent, dict) else None
    return name if isinstance(name, str) else None


def _read(found: _Found, parts: Sequence[_Found], reader: PageReader, rules: Rules) -> None:
    """Add the event to `reader`; its dates in its place where it is a series of them."""
    if parts:
        for part in parts[:MAX_OCCURRENCES]:
            _read_one(part, reader, rules)
        if len(parts) > MAX_OCCURRENCES:
            _too_many(found, reader)
        if not _is_programme(found.node, parts):
            return
    elif found.node.get("eventSchedule") and _read_schedules(found, reader, rules):
        return
    _read_one(replace(found, node={key: item for key, item in found.node.items() if key not in _LISTS}), reader, rules)


_LISTS = frozenset({"subEvent", "subEvents", "eventSchedule"})
"""Left out of an event's payload: what another date of the series does is no change of this one."""


def _read_one(found: _Found, reader: PageReader, rules: Rules) -> None:
    def read(node: dict[str, Json]) -> Event:
        event = read_event(node, rules, source_id=found.source_id, undated=is_permanent(node))
        return replace(event, series_id=found.series_id) if found.series_id else event

    reader.add(found.node, read, known_as=found.source_id)


def is_permanent(node: Mapping[str, Any]) -> bool:
    """An exhibition that is always on: it has no dates and needs none."""
    return str(scalar(node.get("exhibitionType"))).casefold() == "permanent"


def _parts(found: _Found, rules: Rules) -> Iterator[_Found]:
    """The dated sub-events, each completed by what its parent says for all of them."""
    given = {key: found.node[key] for key in _INHERITED if key in found.node}
    seen: set[str] = set()
    for child in dated_parts(found.node):
        name = own_id(child, rules)
        if name is None or name == found.source_id or name in seen:
            name = f"{found.source_id}#{_suffix(child, rules) or _written(child['startDate'])}"
        if name in seen:
            continue
        seen.add(name)
        filled = {key: item for key, item in child.items() if item not in (None, "", [], {})}
        yield _Found({**given, **filled}, name, found.source_id)


def dated_parts(parent: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sub-events of `parent` that say when they are."""
    children = parent.get("subEvent", parent.get("subEvents"))
    listed = children if isinstance(children, list) else [children]
    return [child for child in listed if isinstance(child, dict) and _written(child.get("startDate"))]


def _is_programme(parent: Mapping[str, Any], parts: Sequence[_Found]) -> bool:
    """Whether the sub-events are events of another name, so that the parent (a festival) is one beside them."""
    if "EventSeries" in type_names(parent) or not _written(parent.get("startDate")):
        return False
    return any(part.node.get("name") != parent.get("name") for part in parts)


def _read_schedules(found: _Found, reader: PageReader, rules: Rules) -> bool:
    """Add the occurrences of the event's schedules. False when none can be read but the event has a date of its own."""
    node = found.node
    schedules = node["eventSchedule"] if isinstance(node["eventSchedule"], list) else [node["eventSchedule"]]
    first = moment(node.get("startDate"), rules.zone)
    dates: dict[str, tuple[Moment, Moment | None]] = {}
    fault: RecordFault | None = None
    for schedule in schedules[:_MOST_SCHEDULES]:
        try:
            found_dates, cut = occurrences(schedule, first=first, zone=rules.zone, window=reader.window)
        except RecordFault as raised:
            fault = raised
            continue
        for start, end in found_dates:
            dates.setdefault(_local(start), (start, end))
        if cut:
            _too_many(found, reader)
    if fault is not None:
        if not dates and first is not None:
            return False
        reader.refuse(RejectedRecord(reason=fault.reason, detail=str(fault), payload=None, source_id=found.source_id))
    bare = {key: item for key, item in node.items() if key not in _LISTS and key not in ("startDate", "endDate")}
    for written, (start, end) in dates.items():
        payload = {**bare, "startDate": _iso(start), **({"endDate": _iso(end)} if end else {})}
        _read_one(_Found(payload, f"{found.source_id}#{written}", found.source_id), reader, rules)
    return True


def _iso(start: Moment) -> str:
    """With its offset, so that the occurrence reads the same in whatever zone it is read."""
    if start.local is None:
        return start.date.isoformat()
    return start.local.replace(tzinfo=ZoneInfo(start.zone)).isoformat()


def _too_many(found: _Found, reader: PageReader) -> None:
    detail = f"more than {MAX_OCCURRENCES} dates inside the window; the first ones were kept"
    reader.refuse(
        RejectedRecord(reason=RejectReason.TOO_MANY_OCCURRENCES, detail=detail, payload=None, source_id=found.source_id)
    )


def _refused(reason: RejectReason, detail: str, block: str, rules: Rules) -> RejectedRecord:
    """A block that cannot be read, under the address of its page: the id of most events that are alone on theirs."""
    return RejectedRecord(
        reason=reason,
        detail=excerpt(detail, 300),
        payload={"beginning": clean_text(excerpt(block, 2000), limit=1000)},
        source_id=_short(rules.page_url) if rules.page_url else None,
    )
