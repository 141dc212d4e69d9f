"""Source `ics`: published calendars (iCalendar, RFC 5545 and 7986), by URL or from local files.

Belongs here: fetching. One feed that cannot be read never costs the others. A file is read in `feed.py`:
`components.py` (bytes -> VEVENTs) -> `series.py` (VEVENTs of one UID -> occurrences) -> `mapping.py` (-> events).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from ingestion_assets.events.model import FetchWarning, FetchWindow, Page
from ingestion_assets.events.sources.ics.settings import Feed, IcsSettings
from resources.errors import PermanentError, TransientError
from resources.http import OutboundClient, OutboundFailure, OutboundPolicy, Reply, register_secret

__all__ = ["Feed", "IcsSettings", "IcsSource"]

MAX_BODY = 20 * 1024 * 1024
"""Bytes of one calendar file. 20,000 events are about 10 MB."""


class IcsSource:
    """Events of the calendars that `ICS_FEEDS` names."""

    name: ClassVar[str] = "ics"
    title: ClassVar[str] = "iCalendar feeds"
    homepage: ClassVar[str] = "https://www.rfc-editor.org/rfc/rfc5545"
    settings_class: ClassVar[type[IcsSettings]] = IcsSettings
    volatile_paths: ClassVar[tuple[str, ...]] = (
        "DTSTAMP",  # when the file was written: new on every download for most generators
        "CREATED",  # the same, for generators that keep no history
        "LAST-MODIFIED",  # says that something changed; what changed is in the other properties
        "SEQUENCE",  # likewise
        "X-MOZ-GENERATION",
        "X-MOZ-LASTACK",
        "X-LIC-ERROR",
    )
    record_version: ClassVar[int] = 3
    reading_settings: ClassVar[tuple[str, ...]] = ("default_timezone",)

    def __init__(self, settings: IcsSettings) -> None:
        self.settings = settings

    @property
    def policy(self) -> OutboundPolicy:
        """Feeds are files on many hosts: small limits, a slow pace, patience for a busy host.

        As many tries as other sources have: of a dozen feeds on busy hosts one fails four times in a row every few runs,
        and then nothing is withdrawn.
        """
        return OutboundPolicy(
            name=self.name,
            requests_per_second=2,
            read_timeout=30,
            total_timeout=180,
            max_wire_bytes=MAX_BODY,
            max_body_bytes=MAX_BODY,
        )

    def fetch(self, window: FetchWindow, client: OutboundClient) -> Iterator[Page]:
        """Pages of the events of all feeds whose local start date lies in `window`.

        A feed that does not answer is a warning and makes the fetch incomplete; when none answers the fetch fails,
        as transient if any of the failures was.
        """
        feeds = self.settings.feed_list
        if not feeds:
            raise PermanentError("ICS_FEEDS names no calendar: set it to name=URL-or-path entries")
        failures: list[tuple[Feed, PermanentError | TransientError]] = []
        for feed in feeds:
            try:
                body, charset = _read(feed, client)
            except (PermanentError, TransientError) as error:
                failures.append((feed, error))
                continue
            yield from self._pages(feed, body, charset, window)
        if len(failures) == len(feeds):
            raise _all_failed(failures)
        if failures:
            names = ", ".join(feed.name for feed, _ in failures)
            warnings = [FetchWarning("feed_failed", f"feed {feed.name!r}: {error}") for feed, error in failures]
            yield Page(records=(), warnings=warnings, incomplete=f"feeds that could not be read: {names}")

    def _pages(self, feed: Feed, body: bytes, charset: str | None, window: FetchWindow) -> Iterator[Page]:
        from ingestion_assets.events.sources.ics.feed import read_feed

        return read_feed(
            body,
            feed=feed.name,
            window=window,
            default_zone=self.settings.default_timezone,
            max_occurrences=self.settings.max_occurrences,
            charset=charset,
        )


def _read(feed: Feed, client: OutboundClient) -> tuple[bytes, str | None]:
    """The bytes of a feed and the charset that its server named. Raises what ends the fetch of this feed."""
    if feed.is_url:
        return _download(feed, client)
    try:
        with Path(feed.location).open("rb") as file:
            body = file.read(MAX_BODY + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no valid path"
        raise PermanentError(f"the file of feed {feed.name!r} cannot be read: {reason}") from None
    if len(body) > MAX_BODY:
        raise PermanentError(f"the file of feed {feed.name!r} is larger than {MAX_BODY} bytes")
    return body, None


def _download(feed: Feed, client: OutboundClient) -> tuple[bytes, str | None]:
    _hide_secrets(feed.location)
    url, signed = _signed(feed.location)
    headers = {"Accept": "text/calendar, */*;q=0.5", **signed}
    try:
        reply = client.get(url, conditional=True, headers=headers, inspect=_refuse_pages)
    except OutboundFailure as failure:
        if failure.reply is None or failure.reply.status != 200:
            raise
        # A page each time: the feed has gone behind a login, or the address is that of a page. It is kept as a
        # rejected record, so that whoever looks sees its beginning.
        reply = failure.reply
    return reply.body, reply.charset


def _signed(url: str) -> tuple[str, dict[str, str]]:
    """The address without its user and password, and the header that says them (RFC 7617)."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    name, _, password = user.partition(":")
    register_secret(unquote(password))
    said = b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {said}"}


def _refuse_pages(reply: Reply) -> None:
    """Busy hosts and their shields answer 200 with a page: worth asking again."""
    if reply.status == 200 and reply.body[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise TransientError(f"{reply.url} answered with a page instead of a calendar")


def _hide_secrets(url: str) -> None:
    """The address of a private calendar is its password: keep the telling parts out of logs and errors."""
    parts = urlsplit(url)
    for piece in (*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))):
        if piece.startswith("private-") or (len(piece) >= 20 and any(character.isdigit() for character in piece)):
            register_secret(piece, guessed=not piece.startswith("private-"))


def _all_failed(failures: list[tuple[Feed, PermanentError | TransientError]]) -> PermanentError | TransientError:
    told = "; ".join(f"{feed.name}: {error}" for feed, error in failures[:10])
    message = f"none of the {len(failures)} feeds in ICS_FEEDS could be read: {told}"
    transient = [error for _, error in failures if isinstance(error, TransientError)]
    if not transient:
        return PermanentError(message)
    # The soonest that any of them might answer; a feed that named no delay may answer at once.
    delays = [error.retry_after for error in transient]
    named = [delay for delay in delays if delay is not None]
    return TransientError(message, retry_after=min(named) if len(named) == len(delays) else None)
