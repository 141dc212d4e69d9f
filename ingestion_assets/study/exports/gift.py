r"""GIFT, the text format of Moodle and its relatives (docs.moodle.org, "GIFT format"): `~ = # { } : \` are escaped."""

from __future__ import annotations

import re
from html import escape

from ingestion_assets.study.exports.common import names, shown_front, shown_quote, source_line
from ingestion_assets.study.results import Collection

_SPECIAL = re.compile(r"([\\~=#{}:])")


def special(text: str) -> str:
    """`text` without the meanings that GIFT and HTML give to its characters."""
    # HTML first: the ampersand of an entity has no meaning in GIFT, the hash of a numeric one has.
    return _SPECIAL.sub(r"\\\1", escape(" ".join(text.split()), quote=False))


def write(collection: Collection) -> bytes:
    """Questions as multiple choice, cards as short answers."""
    documents = names(collection)
    blocks = [f"$CATEGORY: {_category(collection.title)}"]
    for question in collection.questions:
        options = "\n".join(
            f"\t{'=' if place == question.key else '~'}{special(option)}"
            for place, option in enumerate(question.options)
        )
        source = special(f"{shown_quote(question.evidence)} ({source_line(question.evidence, documents)})")
        blocks.append(f"::{question.id}::[html]{special(question.stem)} {{\n{options}\n\t####{source}\n}}")
    for card in collection.cards:
        source = special(source_line(card.evidence, documents))
        blocks.append(
            f"::{card.id}::[html]{special(shown_front(card))} {{\n\t={special(card.back)}\n\t####{source}\n}}"
        )
    return ("\n\n".join(blocks) + "\n").encode()


def _category(title: str) -> str:
    return " ".join(re.sub(r"[$/{}~=#\\:<>&]", " ", title).split()) or "Study"
