"""CSV for spreadsheets and TSV for Anki's text import. A cell can never be a formula.

The apostrophe that keeps a CSV cell from being one would be part of an Anki card (`'-273.15 °C`). There the character is
written as an HTML entity, which Anki shows as the character itself and no spreadsheet calculates.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

from ingestion_assets.study.exports.common import anki_html, names, shown_front, shown_quote, source_line
from ingestion_assets.study.model import Card, Question
from ingestion_assets.study.results import Collection

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "|", "%")
COLUMNS: Final = (
    *("type", "id", "front", "back", "option_1", "option_2", "option_3", "option_4", "option_5", "key", "difficulty"),
    *("source", "page", "quote"),
)


def neutral(cell: str) -> str:
    """A cell that a spreadsheet reads as text: an apostrophe before what would begin a formula."""
    stripped = cell.lstrip(" \u00a0")
    return f"'{cell}" if stripped.startswith(_FORMULA) or cell.startswith(_FORMULA) else cell


def anki_field(text: str) -> str:
    """HTML for Anki, its first character an entity where a spreadsheet takes it for a formula.

    Also where it is a `#`: Anki takes such a line for a comment and leaves the card out.
    """
    html = anki_html(text.strip())
    return f"&#{ord(html[0])};{html[1:]}" if html.startswith((*_FORMULA, "#")) else html


def _rows(collection: Collection) -> Iterator[tuple[str, ...]]:
    documents = names(collection)
    for card in collection.cards:
        yield (
            *(f"card_{card.kind}", card.id, shown_front(card), card.back, "", "", "", "", "", "", card.difficulty),
            *(documents[card.evidence.document_id], str(card.evidence.page or ""), shown_quote(card.evidence)),
        )
    for question in collection.questions:
        options = (*question.options, "", "", "", "")[:5]
        yield (
            *("question", question.id, question.stem, question.answer, *options, str(question.key + 1)),
            *(question.difficulty, documents[question.evidence.document_id], str(question.evidence.page or "")),
            shown_quote(question.evidence),
        )


def write_csv(collection: Collection) -> bytes:
    """One row an item, header first. UTF-8 with a mark, without which spreadsheets garble accents."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([neutral(cell) for cell in row] for row in _rows(collection))
    return buffer.getvalue().encode("utf-8-sig")


def write_tsv(collection: Collection) -> bytes:
    """Front, back and tags in the form of Anki's text import. A question has its options on the front."""
    documents = names(collection)
    buffer = io.StringIO(newline="")
    buffer.write("#separator:tab\n#html:true\n#tags column:3\n")
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")

    def add(front: str, back: str, item: Card | Question) -> None:
        source = anki_html(source_line(item.evidence, documents))
        writer.writerow([front, f"{anki_field(back)}<br><small>{source}</small>", f"study::{item.difficulty}"])

    for card in collection.cards:
        add(anki_field(shown_front(card)), card.back, card)
    for question in collection.questions:
        options = "".join(f"<li>{anki_html(option)}</li>" for option in question.options)
        add(f'{anki_field(question.stem)}<ol type="A">{options}</ol>', question.answer, question)
    return buffer.getvalue().encode()
