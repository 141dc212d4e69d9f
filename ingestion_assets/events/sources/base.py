"""What every event source is, as the rest of the platform sees it.

A source fetches pages and parses one record at a time; it stores nothing, counts nothing and knows no Dagster.
Its client decides about retries, pacing, size limits and addresses (`resources/http.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingestion_assets.events.model import FetchWindow, Page
from resources.http import OutboundClient, OutboundPolicy, register_secret


class SourceSettings(BaseSettings):
    """Settings of one source, read from environment variables that begin with the source's name in capitals.

    An empty variable counts as unset, so that `TICKETMASTER_API_KEY=` in a file switches the source off.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # Pydantic would quote the value, and addresses can hold credentials
    )

    def model_post_init(self, context: Any, /) -> None:  # noqa: ARG002 - Pydantic's signature
        """Mask every `SecretStr` from now on: a service may want its key under a name that nobody else calls secret."""
        for _, value in self:
            if isinstance(value, SecretStr):
                register_secret(value.get_secret_value())

    def missing(self) -> list[str]:
        """The environment variables without which this source cannot run. Empty: the source is enabled."""
        return []


class Source(Protocol):
    """One event source. Built from its settings; `fetch` may be called many times and keeps no state in between."""

    name: ClassVar[str]
    """Key of the source everywhere: asset key, ledger, tables, pool."""
    title: ClassVar[str]
    """Name for people."""
    homepage: ClassVar[str]
    """Documentation of the service."""
    volatile_paths: ClassVar[tuple[str, ...]]
    """Dotted paths of the payload that change without the event changing (view counts, request ids). `*` stands for
    every element of a list. They are left out of the content hash."""
    record_version: ClassVar[int]
    """Raised when the parser reads the same payload differently, so that stored records are parsed anew."""
    reading_settings: ClassVar[tuple[str, ...]]
    """Settings by which the same payload is read differently (a default zone, a language), by the names of their fields:
    whoever corrects one wants stored records to be parsed anew."""
    settings_class: ClassVar[type[SourceSettings]]
    """Built without arguments: it reads the environment."""

    def __init__(self, settings: Any) -> None:
        """`settings` is an instance of `settings_class`."""
        ...

    @property
    def policy(self) -> OutboundPolicy:
        """How politely to call the service: pace, daily budget, deadlines, size limits."""
        ...

    def fetch(self, window: FetchWindow, client: OutboundClient) -> Iterator[Page]:
        """Pages of the events that start inside `window`.

        A fault in one record becomes a `RejectedRecord` in its page; the neighbours are kept. A fault that ends the
        fetch is raised as `TransientError` or `PermanentError` (see `resources/errors.py`).
        """
        ...
