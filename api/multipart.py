"""A multipart body, read piece by piece while it arrives: fields whole, files as the bytes come.

Parsing is python-multipart's. Belongs here: what a part is, and bounds on what is kept in memory.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD_BYTES: Final = 64 * 1024
"""Of a part that is no file."""
_MOST_FIELDS: Final = 20
# It warns of every byte that surprises it; the client is told, and the log is not the client's to fill.
logging.getLogger("python_multipart").setLevel(logging.ERROR)
_LONGEST_BOUNDARY: Final = 70
"""By RFC 2046."""


@dataclass(frozen=True, slots=True)
class FileBegins:
    """The headers of a file have arrived."""

    field: str
    name: str


@dataclass(frozen=True, slots=True)
class FileData:
    """More bytes of the file that began last."""

    data: bytes


@dataclass(frozen=True, slots=True)
class FileEnds:
    """The file that began last is whole."""


@dataclass(frozen=True, slots=True)
class Field:
    """A part that is no file."""

    name: str
    value: str


Piece = FileBegins | FileData | FileEnds | Field


async def pieces(content_type: str, body: AsyncIterator[bytes], *, most_files: int) -> AsyncIterator[Piece]:
    """The parts of a body in their order. Raises `Problem` 400 for a body that is broken or has too many parts."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 1 <= len(boundary) <= _LONGEST_BOUNDARY:
        raise Problem(400, "The Content-Type names no boundary of 1 to 70 characters.")
    reader = _Reader(boundary, most_files)
    async for chunk in body:
        for piece in reader.read(chunk):
            yield piece
    if not reader.whole:
        raise Problem(400, "The body ends before its last part does.")


class _Reader:
    def __init__(self, boundary: bytes, most_files: int) -> None:
        self.whole = False
        self._most_files = most_files
        self._files = self._fields = 0
        self._found: list[Piece] = []
        self._headers: dict[bytes, bytes] = {}
        self._header = b""
        self._value = b""
        self._field: str | None = None
        self._text = bytearray()
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._appends("_header"),
            "on_header_value": self._appends("_value"),
            "on_header_end": self._header_ends,
            "on_headers_finished": self._begins,
            "on_part_data": self._data,
            "on_part_end": self._ends,
            "on_end": self._is_whole,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def read(self, chunk: bytes) -> Iterator[Piece]:
        """What is in the next bytes of the body."""
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise Problem(400, f"This is no multipart body: {str(error)[:200]}") from None
        found, self._found = self._found, []
        return iter(found)

    def _appends(self, name: str) -> Callable[[bytes, int, int], None]:
        def append(data: bytes, start: int, end: int) -> None:
            setattr(self, name, getattr(self, name) + data[start:end])

        return append

    def _header_ends(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _begins(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition != b"form-data" or b"name" not in options:
            raise Problem(400, "Each part needs a Content-Disposition of form-data with a name.")
        name = options[b"name"].decode("utf-8", "replace")
        if b"filename" in options:
            self._files += 1
            if self._files > self._most_files:
                raise Problem(400, f"At most {self._most_files} files may be sent together.")
            self._field = None
            self._found.append(FileBegins(name, options[b"filename"].decode("utf-8", "replace")))
        else:
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise Problem(400, f"At most {_MOST_FIELDS} fields may be sent.")
            self._field = name
            self._text.clear()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._found.append(FileData(data[start:end]))
            return
        self._text += data[start:end]
        if len(self._text) > FIELD_BYTES:
            raise Problem(400, f"A field has at most {FIELD_BYTES} bytes.")

    def _ends(self) -> None:
        if self._field is None:
            self._found.append(FileEnds())
            return
        try:
            self._found.append(Field(self._field, self._text.decode()))
        except UnicodeDecodeError:
            raise Problem(400, "Fields are UTF-8.") from None

    def _is_whole(self) -> None:
        self.whole = True
