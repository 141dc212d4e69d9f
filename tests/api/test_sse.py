"""What a stream says while there is nothing to say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api import sse
from api.database import ApiDatabase
from api.problems import unavailable
from api.sse import KEEP_ALIVE, follow
from api.streams import Hub
from tests.api.conftest import settings


class Away(ApiDatabase):
    """A database that takes its time to say that it is not there."""

    def __init__(self) -> None:
        pass

    async def run(self, work: Any) -> Any:
        await asyncio.sleep(0.2)
        raise unavailable("away")


class Busy(ApiDatabase):
    """A database in which nothing is found, though much is said."""

    def __init__(self, woken: asyncio.Event) -> None:
        self._woken = woken

    async def run(self, work: Any) -> Any:
        await asyncio.sleep(0.01)
        self._woken.set()
        return ()


@pytest.mark.parametrize("busy", [False, True])
def test_a_stream_is_kept_alive_while_looking_takes_long_or_finds_nothing(
    busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "_AWAY_SECONDS", 0.05)

    async def beats(stream: AsyncIterator[bytes]) -> int:
        end = time.monotonic() + 1.5
        count = 0
        while time.monotonic() < end:
            count += await asyncio.wait_for(anext(stream), 2) == KEEP_ALIVE
        return count

    async def go() -> int:
        woken = asyncio.Event()
        hub = Hub("", settings(), channels=())
        database = Busy(woken) if busy else Away()
        return await beats(follow(hub, database, woken, lambda _: (), keep_alive=0.3))

    assert asyncio.run(go()) >= 3
