"""Files out of a request: stored part by part while they arrive, under ids of our own, their names kept as data only.

Nothing that a client calls a file leads anywhere, and nothing lies on this machine's disk: a part is in the store a moment
after it has arrived, where any worker on any machine finds it. What is small stays in memory and is stored with its batch.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio
import psycopg
from fastapi import Request

from api.database import ApiDatabase
from api.models import storable
from api.multipart import Field, FileBegins, FileData, FileEnds, pieces
from api.problems import Problem, too_large
from api.settings import ApiSettings
from ingestion_assets.ledger import uploads
from ingestion_assets.ledger.batches import NewFile, ReceivedFile

PART_BYTES: Final = 1024 * 1024
"""Stored in one transaction: large enough that its cost does not count, small enough to be done in an instant."""
_HELD_BYTES: Final = 4 * 1024 * 1024
"""Of small files, in memory for one request; further ones are stored at once whatever their size."""
LONGEST_NAME: Final = 255


@dataclass(slots=True)
class Upload:
    """What was handed in."""

    files: list[NewFile | ReceivedFile] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    kept: bool = False
    """A batch names the files: they are not removed again."""


@asynccontextmanager
async def received(
    request: Request, database: ApiDatabase, settings: ApiSettings, *, user_id: str, largest_file: int
) -> AsyncIterator[Upload]:
    """The parts of the body. Set `kept` when a batch has the files; otherwise they are removed at the end.

    Raises `Problem` 400 for a broken body, 413 for a file over `largest_file` bytes, 422 when there is no file.
    """
    receiver = _Receiver(database, user_id, largest_file)
    try:
        async for piece in pieces(
            request.headers.get("content-type", ""), request.stream(), most_files=settings.upload_files
        ):
            match piece:
                case FileBegins():
                    receiver.begin(piece)
                case FileData():
                    await receiver.add(piece.data)
                case FileEnds():
                    await receiver.end()
                case Field():
                    receiver.upload.fields[piece.name] = piece.value
        if not receiver.upload.files:
            raise Problem(422, "Send at least one file, as a part called `files`.")
        yield receiver.upload
    finally:
        if receiver.stored and not receiver.upload.kept:
            await _discard(database, receiver.stored)


async def _discard(database: ApiDatabase, file_ids: list[uuid.UUID]) -> None:
    # Also when the client has gone and this task is cancelled.
    with anyio.CancelScope(shield=True):
        try:
            await database.run(lambda connection: uploads.discard(connection, file_ids))
        except (Problem, psycopg.Error):
            return  # the database is away: they are removed when they are a day old


class _Receiver:
    """One request's files."""

    def __init__(self, database: ApiDatabase, user_id: str, largest_file: int) -> None:
        self.upload = Upload()
        self.stored: list[uuid.UUID] = []
        self._database = database
        self._user_id = user_id
        self._largest = largest_file
        self._held = 0
        self._clear("")

    def _clear(self, given: str) -> None:
        self._named = bool(given)
        self._name = name_of(given)
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        self._size = self._parts = 0
        self._file_id = uuid.uuid4()

    def begin(self, piece: FileBegins) -> None:
        if piece.field != "files":
            raise Problem(422, "Name the parts that are files `files`.")
        self._clear(piece.name)

    async def add(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._largest:
            raise too_large(self._largest)
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            part = bytes(self._buffer[:PART_BYTES])
            del self._buffer[:PART_BYTES]
            await self._store(part)

    async def end(self) -> None:
        rest = bytes(self._buffer)
        if not self._named and self._size == 0:
            return  # what a browser sends of a form in which no file was chosen
        if self._parts == 0 and self._held + len(rest) <= _HELD_BYTES:
            self._held += len(rest)
            self.upload.files.append(NewFile(self._name, rest))
            return
        if rest or self._parts == 0:
            await self._store(rest)
        self.upload.files.append(ReceivedFile(self._name, self._file_id, self._digest.hexdigest(), self._size))

    async def _store(self, part: bytes) -> None:
        number, file_id = self._parts, self._file_id
        if number == 0:
            self.stored.append(file_id)

        def store(connection: psycopg.Connection[object]) -> None:
            uploads.add_parts(connection, file_id, number, [part], user_id=self._user_id)

        await self._database.run(store)
        # After the part is stored, in the loop: a megabyte takes a few milliseconds at most.
        self._digest.update(part)
        self._parts += 1


def name_of(given: str) -> str:
    """What the client calls the file, as text that can be stored. It is never used as a path."""
    name = given.replace("\x00", "").encode("utf-8", "replace").decode()
    return storable(name)[-LONGEST_NAME:] or "unnamed"
