"""Files out of a multipart body: streamed to anonymous temporary files, their names kept as data only.

A spooled file has no name on disk from the moment it exists, so nothing that a client calls it can lead anywhere, and
nothing is left when the process dies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from api.models import storable
from api.problems import Problem, too_large
from api.settings import ApiSettings
from ingestion_assets.ledger.batches import NewFile

LONGEST_NAME = 255
_FIELDS = 20
_FIELD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """What was handed in: files on disk, and the other fields as text."""

    files: tuple[UploadFile, ...]
    fields: dict[str, str]

    def read(self) -> list[NewFile]:
        """The files, whole. Called in a thread, when everything else has been accepted."""
        return [NewFile(name_of(file), _content(file)) for file in self.files]


@asynccontextmanager
async def received(request: Request, settings: ApiSettings, *, largest_file: int) -> AsyncIterator[Upload]:
    """The parts of the body, on disk while the context lasts.

    Raises `Problem` 400 for a broken body, 413 for a file over `largest_file` bytes, 422 when there is no file.
    """
    async with request.form(max_files=settings.upload_files, max_fields=_FIELDS, max_part_size=_FIELD_BYTES) as form:
        yield _checked(form, largest_file)


def _checked(form: FormData, largest_file: int) -> Upload:
    files: list[UploadFile] = []
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != "files":
                raise Problem(422, "Name the parts that are files `files`.")
            if (value.size or 0) > largest_file:
                raise too_large(largest_file)
            files.append(value)
        else:
            fields[name] = value
    if not files:
        raise Problem(422, "Send at least one file, as a part called `files`.")
    return Upload(tuple(files), fields)


def name_of(file: UploadFile) -> str:
    """What the client calls the file, as text that can be stored. It is never used as a path."""
    name = (file.filename or "").replace("\x00", "").encode("utf-8", "replace").decode()
    return storable(name)[-LONGEST_NAME:] or "unnamed"


def _content(file: UploadFile) -> bytes:
    stream: Any = file.file
    stream.seek(0)
    return bytes(stream.read())
