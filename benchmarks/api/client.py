"""HTTP/1.1 as far as the benchmark needs it, at next to no cost: the client shares the machine with what it measures."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit


class Connection:
    """One kept-alive connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    @classmethod
    async def to(cls, url: str) -> Self:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        return cls(reader, writer, parts.netloc)

    async def get(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body."""
        status, length = await self.head(path, headers)
        return status, await self._reader.readexactly(length)

    async def head(self, path: str, headers: Mapping[str, str]) -> tuple[int, int]:
        """Send a GET; status and Content-Length (0 where there is none), the body unread."""
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {self._host}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self._writer.drain()
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        return int(head.split()[1]), int(length or 0)

    @property
    def at_end(self) -> bool:
        """The other side has closed, and everything was read."""
        return self._reader.at_eof()

    def close(self) -> None:
        self._writer.close()


def post_file(url: str, headers: Mapping[str, str], content: bytes) -> tuple[int, float, float]:
    """POST one file; status, seconds to send it, seconds from its last byte to the first of the answer."""
    parts = urlsplit(url)
    boundary = uuid.uuid4().hex
    before = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="book.pdf"\r\n'
        "Content-Type: application/pdf\r\n\r\n"
    ).encode()
    after = f"\r\n--{boundary}--\r\n".encode()
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Content-Type: multipart/form-data; boundary={boundary}",
        f"Content-Length: {len(before) + len(content) + len(after)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=120) as connection:
        # What the kernel holds would count as sent although the service has not seen it.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        began = time.perf_counter()
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        connection.sendall(before)
        connection.sendall(content)
        connection.sendall(after)
        sent = time.perf_counter()
        answer = connection.recv(4096)
        answered = time.perf_counter()
    return int(answer.split()[1]), sent - began, answered - sent
