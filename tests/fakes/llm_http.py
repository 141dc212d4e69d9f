"""HTTP/1.1 as the fake provider needs it: keep-alive, and the ways in which a connection can fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Http:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass(slots=True)
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    @classmethod
    def of(cls, status: int, value: Any, headers: dict[str, str] | None = None) -> Reply:
        return cls(status, json.dumps(value).encode(), headers or {})


class Abort(Exception):  # noqa: N818 - not an error: the connection is to be reset
    pass


async def serve_one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[Http], Awaitable[Reply]]
) -> None:
    """One connection: requests one after another until the client goes."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            method, path, _ = lines[0].split(" ", 2)
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            try:
                reply = await answer(Http(method, path, headers, body))
            except Abort:
                writer.transport.abort()
                return
            except TimeoutError:
                # Silence until the client has had enough.
                await reader.read()
                return
            lines_out = [
                f"HTTP/1.1 {reply.status} X",
                f"content-type: {reply.content_type}",
                f"content-length: {len(reply.body)}",
                *(f"{name}: {value}" for name, value in reply.headers.items()),
            ]
            writer.write("\r\n".join(lines_out).encode() + b"\r\n\r\n" + reply.body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        # The client left, or this process ends.
        return
    finally:
        writer.close()
