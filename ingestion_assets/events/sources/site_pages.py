"""The events of a web site that has no API: from listing pages and sitemaps to event pages and their JSON-LD.

Belongs here: which pages to ask for, in what order, and when to stop. What a page says belongs to `jsonld.py`.
"""

from __future__ import annotations

import html as html_entities
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urldefrag, urljoin, urlsplit

from ingestion_assets.events.model import Event, FetchWarning, FetchWindow, Page, RejectedRecord
from ingestion_assets.events.sources.jsonld import base_of, json_ld_blocks, plain_url, read_html
from ingestion_assets.events.sources.loose_json import loose_values
from ingestion_assets.events.sources.patience import Patience
from ingestion_assets.events.sources.schema_event import Rules
from resources.errors import PermanentError, TransientError
from resources.http import HttpStatusError
from resources.http.body import Inflater

if TYPE_CHECKING:
    from resources.http import OutboundClient, Reply

DEFAULT_LINKS = r"/(?:evenements?|events?|spectacles?|activites?|expositions?|concerts?|festivals?)/[^/?#]+"
"""Addresses of event pages, in French and English sites: a segment that says so, and a name after it."""

_BATCH = 100
_MOST_KNOWN = 50_000
_SMALLEST_PAGE = 4096
"""A real page is larger. What is smaller and has neither data nor links is a notice: "checking your browser"."""
_MAX_SITEMAP_BYTES = 50 * 1024 * 1024  # https://www.sitemaps.org/protocol.html
_FILES = ("image/", "video/", "audio/", "font/", "text/calendar", "text/csv", "application/pdf", "application/vnd.")
"""Kinds of what listings link to beside pages, at addresses that look like those of event pages."""
_SITEMAP_END = re.compile(rb"</(?:urlset|sitemapindex)\s*>|<(?:urlset|sitemapindex)[^<>]*/>")
_TAIL = 4096
"""Bytes in which the end of a sitemap is looked for; plug-ins write comments after it."""
_SCHEMES = (b"https://", b"http://")
_BOM = b"\xef\xbb\xbf"
_LOC = re.compile(r"<loc>\s*(?:<!\[CDATA\[)?\s*([^<\]]+?)\s*(?:\]\]>)?\s*</loc>", re.IGNORECASE)


_Records: TypeAlias = list[Event | RejectedRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where to begin and how far to go."""

    start_urls: Sequence[str]
    max_pages: int
    """Pages asked for in one fetch, listings and sitemaps included."""
    links: re.Pattern[str]
    """What addresses of event pages look like; searched in the path."""
    rules: Rules


def fetch_site(site: Site, window: FetchWindow, client: OutboundClient) -> Iterator[Page]:
    """The events inside `window` of all pages reachable from the start addresses.

    Followed are sitemaps (also an index of them, compressed ones, and texts of one address a line), the next page of a
    listing, and links on the same host that look like event pages. Raises when no start address can be read or page after
    page fails.
    """
    yield from _Crawl(site, window, client).pages()


@dataclass(slots=True)
class _Crawl:
    site: Site
    window: FetchWindow
    client: OutboundClient
    queue: deque[tuple[str, bool]] = field(default_factory=deque)
    """Addresses, and whether each is an event page, from which no links are followed."""
    queued: set[str] = field(default_factory=set)
    told: dict[str, list[Event | RejectedRecord]] = field(default_factory=dict)
    """What listings say of events whose own pages are still to come, by address."""
    starts: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    without_events: int = 0
    read: int = 0

    def pages(self) -> Iterator[Page]:
        for url in self.site.start_urls:
            self.enqueue(url, is_event=False)
        begun_with = frozenset(self.queued)
        records: _Records = []
        outside: _Records = []
        found = 0
        patience = Patience()
        while self.queue and self.read < self.site.max_pages:
            url, is_event = self.queue.popleft()
            self.read += 1
            try:
                reply = self.client.get(url, inspect=_notice)
            except TransientError as error:
                if url in begun_with:
                    raise
                if patience.asks_again(url, error):
                    self.queue.append((url, is_event))
                else:
                    self.failed.append(url)
                continue
            except PermanentError as error:
                if url in begun_with:
                    raise
                self.not_had(url, error)
                continue
            patience.answered()
            new, left_out = self.page(url, reply, is_event=is_event)
            found += len(new) + len(left_out)
            outside.extend(left_out)
            records.extend(new)
            if len(records) + len(outside) >= _BATCH:
                yield Page(records=records, outside_window=len(outside), outside=outside)
                records, outside = [], []
        for events in self.told.values():
            records.extend(self.dated(event) for event in events)
        yield Page(
            records=records,
            outside_window=len(outside),
            outside=outside,
            warnings=self.warnings(),
            incomplete=self.incomplete(found + len(records)),
        )

    def not_had(self, url: str, error: PermanentError) -> None:
        """Note what keeps a page from being read for good."""
        if isinstance(error, _NoPageError):
            self.without_events += 1
        elif isinstance(error, HttpStatusError) and error.status in (404, 410):
            self.gone.append(url)
        else:
            # Refused, too large, not to be called: none of these says that the event is gone.
            self.failed.append(url)

    def enqueue(self, url: str, *, is_event: bool) -> None:
        url = urldefrag(plain_url(url, ""))[0]
        if url not in self.queued and len(self.queued) < _MOST_KNOWN:
            self.queued.add(url)
            self.queue.append((url, is_event))

    def page(self, url: str, reply: Reply, *, is_event: bool) -> tuple[_Records, _Records]:
        """The records of one answer, and those of it outside the window; its links are put in the queue."""
        if is_event and self.leads_away(url, reply):
            return [], []
        text = _sitemap_text(reply)
        if text is not None:
            self.sitemap(url, text)
            return [], []
        text = reply.text()
        if _is_json_ld(reply.body):
            text = _as_page(text)
        base = base_of(text, url)
        rules = replace(self.site.rules, page_url=url, base_url=base)
        reading = read_html(text, window=self.window, rules=rules)
        if is_event:
            known = self.told.pop(url, [])
            if not reading.records and not reading.outside:
                self.without_events += 1
                return [self.dated(event) for event in known], []
            return [self.dated(record) for record in reading.records], reading.outside
        self.links(url, base, text)
        records: list[Event | RejectedRecord] = []
        for record in reading.records:
            own_page = _page_of(record, base)
            if own_page is not None and own_page != url and own_page in self.queued:
                self.told.setdefault(own_page, []).append(record)
            else:
                records.append(self.dated(record))
        return records, reading.outside

    def leads_away(self, url: str, reply: Reply) -> bool:
        """Whether the answer of an event page is another page: what it says is not said of this event.

        Sites send those who look for what is over to their listing or home page. What has merely moved is at an address
        that nobody has named yet, and no folder of the old one.
        """
        led_to = urldefrag(plain_url(reply.url, ""))[0]
        above = urlsplit(url).path.rstrip("/").startswith(urlsplit(led_to).path.rstrip("/") + "/")
        if led_to == url or not (above or led_to in self.queued):
            return False
        if not self.is_link(led_to):
            self.gone.append(url)
        return True

    def sitemap(self, url: str, text: str) -> None:
        locations = [urljoin(url, html_entities.unescape(found)) for found in _LOC.findall(text)]
        if "<sitemapindex" in text:
            for location in locations:
                self.enqueue(location, is_event=False)
            return
        # A sitemap of events only may call its pages anything.
        likely = [location for location in locations if self.is_link(location)]
        for location in likely or locations:
            if _same_host(location, url):
                self.enqueue(location, is_event=True)

    def links(self, url: str, base: str, text: str) -> None:
        from selectolax.lexbor import LexborHTMLParser

        tree = LexborHTMLParser(text.encode("utf-8", "replace"))
        for node in tree.css('a[rel~="next"], link[rel~="next"]'):
            link = _absolute(node.attributes.get("href"), base)
            if link is not None and _same_host(link, url):
                self.enqueue(link, is_event=False)
        hrefs = [node.attributes.get("href") for node in tree.css("a[href]")]
        for href in (*_listed(text), *hrefs):
            link = _absolute(href, base)
            if link is None or not _same_host(link, url) or link == urldefrag(url)[0]:
                continue
            if self.is_link(link):
                self.enqueue(link, is_event=True)

    def is_link(self, url: str) -> bool:
        """Whether an address looks like that of an event page."""
        return self.site.links.search(urlsplit(url).path) is not None

    def dated(self, record: Event | RejectedRecord) -> Event | RejectedRecord:
        """The record; with its date in its id when another page told another date under the same id."""
        if not isinstance(record, Event):
            return record
        start = "" if record.start is None else (record.start.local or record.start.date).isoformat()[:16]
        if self.starts.setdefault(record.source_id, start) == start:
            return record
        return replace(record, source_id=f"{record.source_id}#{start}", series_id=record.series_id or record.source_id)

    def warnings(self) -> list[FetchWarning]:
        found = []
        if self.gone:
            found.append(FetchWarning("page_gone", f"{len(self.gone)} linked pages gone, the first: {self.gone[0]}"))
        if self.failed:
            found.append(FetchWarning("page_failed", f"{len(self.failed)} pages failed, the first: {self.failed[0]}"))
        if self.without_events:
            detail = f"{self.without_events} pages that looked like event pages hold no schema.org Event"
            found.append(FetchWarning("no_event_in_page", detail))
        return found

    def incomplete(self, found: int) -> str | None:
        if self.queue:
            return f"stopped after {self.site.max_pages} pages, {len(self.queue)} more were known"
        if self.failed:
            return f"{len(self.failed)} pages could not be read"
        if not found:
            return "no page holds a schema.org Event: have the pages changed?"
        return None


def _page_of(record: Event | RejectedRecord, base: str) -> str | None:
    """The address of the event's own page, as `enqueue` spells it."""
    address = record.payload.get("url") if isinstance(record.payload, dict) else None
    return urldefrag(plain_url(address, base))[0] if isinstance(address, str) else None


class _NoPageError(PermanentError):
    """The address is that of a file: a leaflet, a picture, a calendar to subscribe to."""


def _notice(reply: Reply) -> None:
    """A short page without data and links is a notice in front of the real one: worth asking again."""
    if reply.status != 200:
        return
    if reply.content_type.startswith(_FILES):
        raise _NoPageError(f"{reply.url} is no page and no sitemap but a file ({reply.content_type})")
    body = _inflated(reply.body)
    if urlsplit(reply.url).path.endswith(".xml") and b"<urlset" not in body and b"<sitemapindex" not in body:
        raise TransientError("a page came where a sitemap was asked for")
    if _is_sitemap(body) and _SITEMAP_END.search(body[-_TAIL:]) is None:
        raise TransientError("a sitemap came that breaks off")
    if _is_json_ld(body) and not body.rstrip().endswith((b"}", b"]")):
        raise TransientError("a JSON-LD document came that breaks off")
    if _is_json_ld(body) or _is_url_list(body):
        return
    if len(body) < _SMALLEST_PAGE and not any(
        sign in body for sign in (b"ld+json", b"<a ", b"<urlset", b"<sitemapindex")
    ):
        raise TransientError("a notice came where a page was asked for")


def _sitemap_text(reply: Reply) -> str | None:
    """The text of a sitemap, None when the answer is another kind of page. A list of addresses is put as XML."""
    body = _inflated(reply.body)
    if _is_url_list(body):
        lines = body.decode("utf-8-sig", "replace").split()
        return "".join(f"<loc>{html_entities.escape(line)}</loc>" for line in lines)
    return body.decode("utf-8", "replace") if _is_sitemap(body) else None


def _is_sitemap(body: bytes) -> bool:
    head = body[:2000]
    return b"<urlset" in head or b"<sitemapindex" in head


def _is_url_list(body: bytes) -> bool:
    """Whether it is a sitemap in the form of text: addresses, one a line (https://www.sitemaps.org/protocol.html)."""
    # Asked of every page: only what begins like a list is looked through.
    begun = body.removeprefix(_BOM).lstrip().startswith(_SCHEMES)
    return begun and all(line.startswith(_SCHEMES) for line in body.removeprefix(_BOM).split())


def _is_json_ld(body: bytes) -> bool:
    """Whether it is JSON-LD by itself, without a page around it: JSON with a keyword such as `@type`."""
    return body.removeprefix(_BOM).lstrip()[:1] in (b"{", b"[") and b'"@' in body


def _as_page(text: str) -> str:
    # "<" by its number: no text in the document may end the script, or begin a comment in it.
    return f'<script type="application/ld+json">{text.replace("<", chr(92) + "u003c")}</script>'


def _inflated(body: bytes) -> bytes:
    """A sitemap that is a gzip file (`sitemap.xml.gz`); anything else as it is."""
    if not body.startswith(b"\x1f\x8b"):
        return body
    inflater = Inflater(_MAX_SITEMAP_BYTES)
    inflater.feed(body)
    return inflater.finish()


def _listed(text: str) -> Iterator[str]:
    """The addresses in an ItemList, the form in which listings name their event pages without describing them."""
    for block in json_ld_blocks(text):
        if "ItemList" not in block:
            continue
        try:
            stack = loose_values(block)
        except (ValueError, RecursionError):
            continue
        while stack:
            node = stack.pop()
            if isinstance(node, list):
                stack.extend(reversed(node))
            elif isinstance(node, dict):
                if node.get("@type") == "ListItem":
                    item = node.get("item")
                    address = node.get("url") or (
                        item.get("url") or item.get("@id") if isinstance(item, dict) else item
                    )
                    if isinstance(address, str):
                        yield address
                elements = node.get("itemListElement") or node.get("@graph") or node.get("mainEntity")
                if isinstance(elements, list | dict):
                    stack.append(elements)


def _absolute(href: str | None, base: str) -> str | None:
    if not href:
        return None
    try:
        link = urldefrag(urljoin(base, href.strip()))[0]
    except ValueError:
        return None
    return link if link.startswith(("https://", "http://")) else None


def _same_host(one: str, other: str) -> bool:
    try:
        hosts = [(urlsplit(url).hostname or "").removeprefix("www.") + f":{urlsplit(url).port}" for url in (one, other)]
    except ValueError:
        return False
    return hosts[0] == hosts[1]
