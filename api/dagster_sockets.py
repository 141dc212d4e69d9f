"""Messages of a websocket, passed on to Dagster's webserver and back. Who may open one is decided in `dagster_proxy.py`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psycopg
from fastapi import WebSocket, status
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from api.problems import Problem
from api.tasks import end

log = logging.getLogger(__name__)

SUBPROTOCOL = "graphql-ws"
"""What Dagster's pages speak."""
LOOK_SECONDS = 30.0
"""Between two looks whether the token or session behind an open socket is still valid."""
_OPEN_SECONDS = 5.0


async def pass_on(
    websocket: WebSocket,
    dagster_url: str,
    path: str,
    *,
    still_allowed: Callable[[], Awaitable[bool]],
    largest: int,
    look_seconds: float = LOOK_SECONDS,
) -> None:
    """Accept a socket and pass messages both ways until one side, or the permission, ends. `largest`: bytes of a message."""
    asked = websocket.scope.get("subprotocols", [])
    chosen = SUBPROTOCOL if SUBPROTOCOL in asked else None
    try:
        upstream = await connect(
            dagster_url.rstrip("/").replace("http", "ws", 1) + path,
            subprotocols=[Subprotocol(chosen)] if chosen else None,
            open_timeout=_OPEN_SECONDS,
            # Of its size nothing is known: a log of a run is sent in one message.
            max_size=None,
            compression=None,
            proxy=None,
        )
    except (OSError, TimeoutError, WebSocketException) as error:
        log.warning("Dagster's webserver takes no websocket: %s", type(error).__name__)
        await websocket.close(status.WS_1011_INTERNAL_ERROR)
        return
    async with upstream:
        await websocket.accept(subprotocol=upstream.subprotocol)
        tasks = [
            asyncio.create_task(_to_dagster(websocket, upstream, largest), name="socket to dagster"),
            asyncio.create_task(_to_browser(websocket, upstream), name="socket to browser"),
            asyncio.create_task(_until_forbidden(still_allowed, look_seconds), name="socket permission"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            code = next((task.result() for task in tasks if task.done() and not task.exception()), None)
        finally:
            for task in tasks:
                await end(task)
        if code is not None:
            await websocket.close(code)


async def _to_dagster(websocket: WebSocket, upstream: ClientConnection, largest: int) -> int | None:
    """None: the browser has closed. Otherwise the code to close with."""
    try:
        while True:
            text = await websocket.receive_text()
            if len(text) > largest:
                return status.WS_1009_MESSAGE_TOO_BIG
            await upstream.send(text)
    except WebSocketDisconnect:
        return None
    except (ConnectionClosed, KeyError):  # KeyError: bytes, which the protocol does not have
        return status.WS_1003_UNSUPPORTED_DATA


async def _to_browser(websocket: WebSocket, upstream: ClientConnection) -> int | None:
    try:
        async for message in upstream:
            await websocket.send_text(message if isinstance(message, str) else message.decode("utf-8", "replace"))
    except (WebSocketDisconnect, RuntimeError):
        return None
    except ConnectionClosed:
        return status.WS_1011_INTERNAL_ERROR
    return status.WS_1001_GOING_AWAY


async def _until_forbidden(still_allowed: Callable[[], Awaitable[bool]], look_seconds: float) -> int:
    while True:
        await asyncio.sleep(look_seconds)
        try:
            if not await still_allowed():
                return status.WS_1008_POLICY_VIOLATION
        except (Problem, psycopg.Error):
            log.info("the permission of a websocket could not be looked up; it is looked up again")
