"""Settings of the `ics` source: which calendars to read, and what to assume where they say nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from ingestion_assets.events.sources.base import SourceSettings
from ingestion_assets.events.sources.zones import canonical_zone

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_BETWEEN = re.compile(r"[\r\n]+|,(?=\s*(?:[^=,:/&?;%#\r\n]*=|,|$|(?:https?|webcals?)://))", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Feed:
    """One calendar. Its name is part of every `source_id`, so renaming a feed makes its events new ones."""

    name: str
    location: str = field(repr=False)
    """An http(s) URL, or the path of a local file. Not shown: the addresses of private calendars are secrets."""

    @property
    def is_url(self) -> bool:
        return self.location.startswith(("https://", "http://"))


class IcsSettings(SourceSettings):
    """Environment variables `ICS_*`."""

    # Pydantic would quote the value, and with it the addresses of private calendars.
    model_config = SettingsConfigDict(hide_input_in_errors=True)

    feeds: str = Field(default="", validation_alias="ICS_FEEDS", repr=False)
    """`name=URL-or-path` entries between commas or line breaks. `webcal://` is read as `https://`; a user and
    password (`https://user:password@host/…`) are sent as a header."""
    default_timezone: str = Field(default="America/Toronto", validation_alias="ICS_DEFAULT_TIMEZONE")
    """Zone of times that name none, in calendars that name none either (X-WR-TIMEZONE)."""
    max_occurrences: int = Field(default=730, ge=1, le=100_000, validation_alias="ICS_MAX_OCCURRENCES")
    """Most occurrences of one recurring event in one fetch. 730: twice a day for a year."""

    @field_validator("default_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        zone = canonical_zone(value)
        if zone is None:
            raise ValueError(
                f"ICS_DEFAULT_TIMEZONE is no known time zone: {value!r}; use an IANA name such as America/Toronto"
            )
        return zone

    @model_validator(mode="after")
    def _readable_feeds(self) -> IcsSettings:
        parse_feeds(self.feeds)
        return self

    @cached_property
    def feed_list(self) -> tuple[Feed, ...]:
        """The feeds in the order in which they are named."""
        return parse_feeds(self.feeds)

    def missing(self) -> list[str]:
        """`ICS_FEEDS` while it names no calendar."""
        return [] if self.feeds.strip(" ,\t\r\n") else ["ICS_FEEDS"]


def parse_feeds(text: str) -> tuple[Feed, ...]:
    """The feeds that `ICS_FEEDS` names. ValueError says which entry is wrong and how to write it.

    A comma inside a URL is kept: an entry begins where `name=` or a scheme follows the comma. Entries are quoted in
    errors by number and name, never with their address.
    """
    feeds: dict[str, Feed] = {}
    entries = [entry for entry in _BETWEEN.split(text) if entry.strip(" ,\t")]
    for number, entry in enumerate(entries, start=1):
        name, separator, location = (part.strip() for part in entry.strip(" ,\t").partition("="))
        if not separator or not _NAME.fullmatch(name):
            shown = f"{name!r}" if separator else "without a name"
            raise ValueError(
                f"ICS_FEEDS entry {number} ({shown}): write name=URL-or-path, the name in a-z, 0-9, '-' and '_' "
                f"(for example culture=https://example.org/agenda.ics)"
            )
        if name in feeds:
            raise ValueError(f"ICS_FEEDS entry {number}: the name {name!r} is given twice; names must differ")
        feeds[name] = Feed(name, _location(number, name, location))
    return tuple(feeds.values())


def _location(number: int, name: str, location: str) -> str:
    if not location:
        raise ValueError(f"ICS_FEEDS entry {number} ({name!r}): the address is empty; write {name}=URL-or-path")
    scheme = _SCHEME.match(location)
    if scheme is None:
        return location
    kind = scheme[1].lower()
    if kind not in {"http", "https", "webcal", "webcals"}:
        raise ValueError(
            f"ICS_FEEDS entry {number} ({name!r}): {kind}: is not supported; use https, http, webcal or a file path"
        )
    try:
        parts = urlsplit(location)
        host = parts.hostname
    except ValueError:
        host = None
    if not host:
        raise ValueError(f"ICS_FEEDS entry {number} ({name!r}): the URL names no host")
    return urlunsplit(parts._replace(scheme="http" if kind == "http" else "https"))
