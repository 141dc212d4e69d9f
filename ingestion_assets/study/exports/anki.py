"""Anki packages. Note ids come from the collection and the card, so that importing a newer deck updates its notes and
keeps every review.

genanki writes schema 11, which every Anki reads. Fields are HTML: everything is escaped.
"""

from __future__ import annotations

import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

from ingestion_assets.study.exports.common import anki_html, names, shown_quote, source_line
from ingestion_assets.study.model import CardKind
from ingestion_assets.study.results import Collection

BASIC_MODEL: Final = 1_607_392_811
CLOZE_MODEL: Final = 1_607_392_812
CHOICE_MODEL: Final = 1_607_392_813
"""Fixed for ever: another number would be another note type at the next import."""
_STYLE: Final = (
    ".card { font-family: sans-serif; font-size: 20px; text-align: center; }"
    " .source { font-size: 13px; color: gray; margin-top: 1em; } ol { display: inline-block; text-align: left; }"
    " .cloze { font-weight: bold; color: #3366cc; }"
)
_SOURCE: Final = '<div class="source">{{Quote}}<br>{{Source}}</div>'


def write(collection: Collection) -> bytes:
    """The deck as `.apkg`."""
    import genanki

    basic = genanki.Model(
        BASIC_MODEL,
        "Study basic",
        fields=[{"name": name} for name in ("Front", "Back", "Quote", "Source")],
        templates=[
            {"name": "Card", "qfmt": "{{Front}}", "afmt": f"{{{{FrontSide}}}}<hr id=answer>{{{{Back}}}}{_SOURCE}"}
        ],
        css=_STYLE,
    )
    cloze = genanki.Model(
        CLOZE_MODEL,
        "Study cloze",
        fields=[{"name": name} for name in ("Text", "Quote", "Source")],
        templates=[{"name": "Cloze", "qfmt": "{{cloze:Text}}", "afmt": f"{{{{cloze:Text}}}}{_SOURCE}"}],
        css=_STYLE,
        model_type=genanki.Model.CLOZE,
    )
    choice = genanki.Model(
        CHOICE_MODEL,
        "Study question",
        fields=[{"name": name} for name in ("Stem", "Options", "Answer", "Quote", "Source")],
        templates=[
            {
                "name": "Question",
                "qfmt": "{{Stem}}<br>{{Options}}",
                "afmt": f"{{{{FrontSide}}}}<hr id=answer>{{{{Answer}}}}{_SOURCE}",
            }
        ],
        css=_STYLE,
    )
    deck = genanki.Deck(_number(collection.key), collection.title)
    documents = names(collection)

    def add(model: object, card_id: str, fields: list[str], tag: str) -> None:
        note = genanki.Note(
            model=model, fields=fields, guid=genanki.guid_for(collection.key, card_id), tags=["study", f"study::{tag}"]
        )
        deck.add_note(note)

    for card in collection.cards:
        origin = [_html(shown_quote(card.evidence)), _html(source_line(card.evidence, documents))]
        if card.kind is CardKind.CLOZE:
            add(cloze, card.id, [_html(card.front), *origin], card.difficulty)
        else:
            add(basic, card.id, [_html(card.front), _html(card.back), *origin], card.difficulty)
    for question in collection.questions:
        origin = [_html(shown_quote(question.evidence)), _html(source_line(question.evidence, documents))]
        options = "".join(f"<li>{_html(option)}</li>" for option in question.options)
        fields = [_html(question.stem), f'<ol type="A">{options}</ol>', _html(question.answer), *origin]
        add(choice, question.id, fields, question.difficulty)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deck.apkg"
        genanki.Package(deck).write_to_file(str(path))
        return path.read_bytes()


def _html(text: str) -> str:
    return anki_html(text, quote=False)


def _number(key: str) -> int:
    """A deck id in the range that Anki accepts, the same for the same collection."""
    return (1 << 30) + int.from_bytes(sha256(key.encode()).digest()[:4]) % (1 << 30)
