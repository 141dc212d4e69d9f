r"""GIFT, the text format of Moodle and its relatives (docs.moodle.org, "GIFT format"): `~ = # { } : \` are escaped.

Stems, options and feedback are HTML, short answers plain text. What else has a meaning is in Moodle's reader,
`question/format/gift/format.php`.
"""

from __future__ import annotations

import re
from html import escape

from ingestion_assets.study.exports.common import names, one_line, short_answer, shown_front, shown_quote, source_line
from ingestion_assets.study.model import Card
from ingestion_assets.study.results import Collection

_SPECIAL = re.compile(r"([\\~=#{}:])")


def special(text: str) -> str:
    """`text` without the meanings that GIFT and HTML give to its characters."""
    html = escape(one_line(text), quote=False)
    if html.startswith(("[", "%")):  # `[plain]` would be a format, `%50%` a grade
        html = f"&#{ord(html[0])};{html[1:]}"
    # HTML first: the ampersand of an entity has no meaning in GIFT, the hash of a numeric one has.
    return _SPECIAL.sub(r"\\\1", html)


def _answer(card: Card) -> str:
    answer = _SPECIAL.sub(r"\\\1", short_answer(card))
    # An arrow would make a matching question of it, and GIFT has no escape for one: with the wildcard it is accepted.
    answer = answer.replace("->", "-*>")
    return f"%100%[plain]{answer}" if answer.startswith(("[", "%")) else answer


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
        blocks.append(f"::{card.id}::[html]{special(shown_front(card))} {{\n\t={_answer(card)}\n\t####{source}\n}}")
    return ("\n\n".join(blocks) + "\n").encode()


def _category(title: str) -> str:
    return one_line(re.sub(r"[$/{}~=#\\:<>&]", " ", title)) or "Study"
