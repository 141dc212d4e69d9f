"""A response of server-sent events that keeps its place, its pulse and its temper."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from fastapi.responses import StreamingResponse
from psycopg import Connection
from psycopg_pool import PoolTimeout
from starlette.types import Receive, Scope, Send

from api.database import ApiDatabase
from api.problems import Problem
from api.streams import Hub

log = logging.getLogger(__name__)

KEEP_ALIVE = b": keep-alive\n\n"
RETRY_MS = 2000
_AWAY_SECONDS = 2.0
_EARLY_SECONDS = 0.01
"""By which a timer may come before its time."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event on its way out."""

    event: str
    data: Any
    id: int | None = None
    last: bool = False
    """The stream ends after it."""

    def encode(self) -> bytes:
        """On the wire. JSON has no line breaks, so `data` is one line."""
        head = b"" if self.id is None else b"id: %d\n" % self.id
        return head + b"event: " + self.event.encode() + b"\ndata: " + orjson.dumps(self.data) + b"\n\n"


class EventStream(StreamingResponse):
    """`text/event-stream`; what `place` holds is given back when the client is gone, even before the first byte."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], status_code: int = 200, *, place: ExitStack) -> None:
        super().__init__(
            content, status_code, headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
        )
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


async def follow(
    hub: Hub,
    database: ApiDatabase,
    woken: asyncio.Event,
    read: Callable[[Connection[Any]], Sequence[Message] | None],
    *,
    keep_alive: float,
    look_every: float | None = None,
) -> AsyncIterator[bytes]:
    """What `read` finds, whenever there is more, until its last message, the end of the service or of the client.

    `read` is called again and again and returns what is new; at least every `look_every` seconds where nothing notifies.
    None ends the stream: its client is no longer one, and is told so when it comes back. While the database is away the
    stream stays open.
    """
    yield b"retry: %d\n\n" % RETRY_MS
    said = time.monotonic()
    while not hub.closing.is_set():
        # By the clock: looking takes its time as well, most of all while the database is away.
        if time.monotonic() - said > keep_alive - _EARLY_SECONDS:
            yield KEEP_ALIVE
            said = time.monotonic()
        woken.clear()
        wait = look_every or hub.poll_seconds
        try:
            found = await database.run(read)
            if found is None:
                return
            messages = found
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, Problem) as error:
            log.info("a stream waits for the database: %s", type(error).__name__)
            messages, wait = (), _AWAY_SECONDS
        for message in messages:
            yield message.encode()
            said = time.monotonic()
            if message.last:
                return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), min(wait, said + keep_alive - time.monotonic()))
