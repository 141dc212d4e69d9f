"""Server-sent events out of append-only tables: woken by NOTIFY, looking for themselves every second when nobody listens.

One connection listens for the whole process, and one wake-up reaches every stream that waits for its channel. A
notification is a hint only: a stream reads its table, so whatever was missed while a connection was down is found.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import psycopg
from psycopg import sql

from api.problems import Problem, unavailable
from api.settings import ApiSettings
from api.tasks import end
from resources.postgres.database import NETWORK, application_name

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Between two looks of a stream while the listening connection is down."""
_RECONNECT_SECONDS = 2.0


class Hub:
    """Who waits for what, and how many streams each user has open."""

    def __init__(self, url: str, settings: ApiSettings, *, channels: Sequence[str]) -> None:
        self._url = url
        self._settings = settings
        self._channels = tuple(channels)
        self._waiting: dict[tuple[str, str], set[asyncio.Event]] = defaultdict(set)
        self._open: Counter[str] = Counter()
        self.closing = asyncio.Event()
        self._listening = False

    @property
    def streams(self) -> int:
        """Open ones in this process."""
        return self._open.total()

    @property
    def poll_seconds(self) -> float:
        """How long a stream that nobody wakes may wait before it looks: notifications are not lost while we listen."""
        return self._settings.keep_alive_seconds if self._listening else POLL_SECONDS

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen while the context lasts; at its end every stream is told to finish."""
        task = asyncio.create_task(self._listen(), name="listen")
        try:
            yield
        finally:
            self.close()
            await end(task)

    def close(self) -> None:
        """Ask all streams to end: their clients come back to another process, or after the restart."""
        self.closing.set()
        for events in self._waiting.values():
            for event in events:
                event.set()

    @contextmanager
    def stream(self, user_id: str) -> Iterator[None]:
        """A place for one stream, or one answer that is waited for.

        Raises `Problem` when the user or the process has as many as they may.
        """
        if self._open[user_id] >= self._settings.streams_per_user:
            raise Problem(
                429,
                f"{self._settings.streams_per_user} streams or answers are under way already; end one.",
                headers={"Retry-After": "5"},
            )
        if self.streams >= self._settings.streams:
            raise unavailable("This process serves as many streams and answers as it can.", seconds=10)
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]

    @contextmanager
    def waiting_for(self, channel: str, key: str) -> Iterator[asyncio.Event]:
        """An event that is set when something was said on `channel` about `key`, or about everything."""
        event = asyncio.Event()
        self._waiting[channel, key].add(event)
        try:
            yield event
        finally:
            self._waiting[channel, key].discard(event)
            if not self._waiting[channel, key]:
                del self._waiting[channel, key]

    def _wake(self, channel: str, payload: str) -> None:
        # An empty payload says that something happened, not to whom.
        for (name, key), events in list(self._waiting.items()):
            if name == channel and (not payload or key in ("", payload)):
                for event in events:
                    event.set()

    async def _listen(self) -> None:
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._url,
                    autocommit=True,
                    application_name=application_name("api listen"),
                    connect_timeout=5,
                    **NETWORK,
                )
                async with connection:
                    for channel in self._channels:
                        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    self._listening = True
                    for channel in self._channels:
                        self._wake(channel, "")
                    async for note in connection.notifies():
                        self._wake(note.channel, note.payload)
            except (psycopg.Error, OSError) as error:
                self._listening = False
                log.warning("not listening to the database (%s); streams look by themselves", type(error).__name__)
            self._listening = False
            # Who was asleep while nobody listened must look now, and every second from here on.
            for channel in self._channels:
                self._wake(channel, "")
            await asyncio.sleep(_RECONNECT_SECONDS)


def last_event_id(header: str | None, after: int | None) -> int:
    """Where a stream goes on: the header of a client that reconnects wins over the address it was given.

    Raises `Problem` 400 for an id that was never given out.
    """
    if not header:
        return after or 0
    if not header.isascii() or not header.isdecimal() or len(header) > 18:
        raise Problem(400, "Last-Event-ID is the number of an event of this stream.")
    return int(header)
