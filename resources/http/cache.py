"""Bodies kept with their validators (RFC 9110 §8.8), so that an unchanged document costs one small request.

Belongs here: the protocol and the in-memory form. A form that outlives the process belongs to whoever owns the tables.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

MAX_CACHED_BODY = 16 * 1024 * 1024
"""Larger bodies are not kept (and then no validators are sent): a cache row should not outweigh the events in it."""


@dataclass(frozen=True, slots=True)
class CachedReply:
    """A complete 200 answer worth asking about again. `body` is inflated; at least one validator is set."""

    etag: str | None
    last_modified: str | None
    body: bytes
    content_type: str | None
    stored_at: datetime


class ValidatorCache(Protocol):
    """Where cached answers live. Keys are opaque digests of service, URL and headers; they hold no secret."""

    def get(self, url_key: str) -> CachedReply | None:
        """The answer kept under the key."""
        ...

    def put(self, url_key: str, reply: CachedReply) -> None:
        """Keep an answer, in place of an older one."""
        ...


class MemoryCache:
    """The last `max_entries` answers, in this process only."""

    def __init__(self, *, max_entries: int = 64) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[str, CachedReply] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, url_key: str) -> CachedReply | None:
        """The answer kept under the key, which becomes the most recently used."""
        with self._lock:
            if url_key in self._entries:
                self._entries.move_to_end(url_key)
            return self._entries.get(url_key)

    def put(self, url_key: str, reply: CachedReply) -> None:
        """Keep an answer; the least recently used one makes room."""
        with self._lock:
            self._entries[url_key] = reply
            self._entries.move_to_end(url_key)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
