"""CSV files as they are found: any delimiter, any spelling of the header, rows that are broken.

Belongs here: from bytes to rows named by column. What a column means belongs to the source.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from ingestion_assets.events.sources.encoding import decoded_lines
from resources.errors import PermanentError
from resources.redaction import excerpt

MAX_LINES_PER_ROW = 400
"""A quote that is never closed would swallow the rest of the file; a real description has fewer lines than this."""

_DELIMITERS = (",", ";", "\t", "|")
_WORD = re.compile(r"[^0-9a-z]+")


@dataclass(frozen=True, slots=True)
class Row:
    """One good row. Empty cells are None. `repaired`: a line of it was not UTF-8 and was read as Windows-1252."""

    line: int
    cells: dict[str, str | None]
    repaired: bool


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that cannot be read as the header promises, as it stands in the file."""

    line: int
    detail: str
    text: str


@lru_cache(maxsize=1024)
def column_name(header: str) -> str:
    """The header without accents, case, byte order mark and punctuation: "Date début " is "date_debut"."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", header) if not unicodedata.combining(c))
    return _WORD.sub("_", plain.casefold()).strip("_")


def csv_rows(
    stream: BinaryIO, *, required: Collection[str], begins: Callable[[Sequence[str]], bool]
) -> Iterator[Row | BadRow]:
    """The rows of a CSV file with a header line, streamed.

    The delimiter is the one under which most of `required` (names as `column_name` spells them) is found. Rows with
    too few or too many cells become `BadRow`. `begins` says of the cells of one physical line whether a row begins
    there: after a quote that was never closed, reading takes up again at the next such line, so that the neighbours
    of a broken row are kept. Raises `PermanentError` when a required column is missing.
    """
    lines = _Lines(decoded_lines(stream))
    header, delimiter = _header(lines, required)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    width = len(header)
    while True:
        line = lines.begin_row()
        try:
            cells: list[str] | None = next(reader)
        except StopIteration:
            return
        except (csv.Error, _EndlessRowError):
            cells = None
        if cells is not None:
            if not cells:
                continue
            cells = _trimmed(cells, width)
        if cells is None or len(cells) != width:
            cells = _recovered(lines, delimiter, width, begins)
        if cells is None:
            yield BadRow(line, _what_is_wrong(lines.taken, delimiter, width), "".join(lines.taken))
        else:
            yield Row(line, {name: cell or None for name, cell in zip(header, cells, strict=True)}, lines.repaired)


class _EndlessRowError(Exception):
    """More physical lines in one row than any real row has."""


class _Lines:
    """Decoded lines that remember those of the current row and can take some of them back."""

    def __init__(self, source: Iterator[tuple[str, bool]]) -> None:
        self._source = source
        self._returned: deque[tuple[str, bool]] = deque()
        self._row: list[tuple[str, bool]] = []
        self._number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if len(self._row) >= MAX_LINES_PER_ROW:
            raise _EndlessRowError
        line = self._returned.popleft() if self._returned else next(self._source)
        self._row.append(line)
        self._number += 1
        return line[0]

    def begin_row(self) -> int:
        """Forgets the lines of the row before; the number of the line that comes next, counted from 1."""
        self._row = []
        return self._number + 1

    def give_back_from(self, index: int) -> None:
        """The row ends before its line `index`; what follows is read again."""
        self._returned.extendleft(reversed(self._row[index:]))
        self._number -= len(self._row) - index
        del self._row[index:]

    @property
    def taken(self) -> list[str]:
        return [text for text, _ in self._row]

    @property
    def repaired(self) -> bool:
        return any(repaired for _, repaired in self._row)


def _header(lines: _Lines, required: Collection[str]) -> tuple[list[str], str]:
    best: list[str] = []
    delimiter = _DELIMITERS[0]
    header = ""
    while not best:
        lines.begin_row()
        text = next(lines, None)
        if text is None:
            raise PermanentError("the CSV file is empty: not even a header line")
        if not text.strip():
            continue
        header = text
        for candidate in _DELIMITERS:
            names = [column_name(cell) for cell in next(csv.reader([text], delimiter=candidate))]
            if len(set(names) & set(required)) > len(set(best) & set(required)) or not best:
                best, delimiter = names, candidate
    while best and not best[-1]:  # a delimiter at the end of every line
        best.pop()
    absent = [name for name in required if name not in best]
    if absent:
        found = excerpt(", ".join(cell.strip() for cell in header.split(delimiter)), 300)
        raise PermanentError(f"the CSV file has no column {', '.join(absent)}; its header reads: {found}")
    return best, delimiter


def _recovered(lines: _Lines, delimiter: str, width: int, begins: Callable[[Sequence[str]], bool]) -> list[str] | None:
    """The cells of a row that strict reading refused, or None; the lines of other rows are given back."""
    texts = lines.taken
    for index in range(1, len(texts)):
        if begins(_lenient([texts[index]], delimiter)):
            lines.give_back_from(index)
            texts = texts[:index]
            break
    else:
        if len(texts) >= MAX_LINES_PER_ROW:
            lines.give_back_from(1)
            texts = texts[:1]
    cells = _trimmed(_lenient(texts, delimiter), width)
    return cells if len(cells) == width else None


def _lenient(texts: list[str], delimiter: str) -> list[str]:
    try:
        return next(csv.reader(texts, delimiter=delimiter), [])
    except csv.Error:  # a cell beyond the module's limit of 128 Ki characters
        return []


def _trimmed(cells: list[str], width: int) -> list[str]:
    while len(cells) > width and not cells[-1].strip():
        cells.pop()
    return cells


def _what_is_wrong(texts: list[str], delimiter: str, width: int) -> str:
    found = len(_lenient(texts, delimiter))
    return f"{found} cells where the header has {width}" if found else "no cells could be read (a quote left open?)"
