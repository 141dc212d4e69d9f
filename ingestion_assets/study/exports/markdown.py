"""Markdown: a deck to read, print or keep in notes. What documents say is never markup or HTML here."""

from __future__ import annotations

import re
from html import escape

from ingestion_assets.study.exports.common import names, shown_front, shown_quote, source_line
from ingestion_assets.study.results import Collection

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")


def plain(text: str) -> str:
    """`text` so that Markdown shows it as it is."""
    return _MARKUP.sub(r"\\\1", escape(text, quote=False)).replace("\n", " ")


def write(collection: Collection) -> bytes:
    """Cards as a table, questions as a list with the key at the end of each."""
    documents = names(collection)
    lines = [f"# {plain(collection.title)}", ""]
    if collection.cards:
        lines += ["## Cards", "", "| Front | Back | Source |", "| --- | --- | --- |"]
        for card in collection.cards:
            source = plain(source_line(card.evidence, documents))
            lines.append(f"| {plain(shown_front(card))} | {plain(card.back)} | {source} |")
        lines.append("")
    if collection.questions:
        lines += ["## Questions", ""]
        for number, question in enumerate(collection.questions, 1):
            lines.append(f"{number}. {plain(question.stem)}")
            lines += [f"    - {'ABCDE'[place]}. {plain(option)}" for place, option in enumerate(question.options)]
            lines.append(f"    - **{'ABCDE'[question.key]}**: {plain(shown_quote(question.evidence))}")
            lines.append(f"      ({plain(source_line(question.evidence, documents))})")
            lines.append("")
    return "\n".join(lines).encode()


def preview(collection: Collection, *, cards: int = 10, questions: int = 3) -> str:
    """The first items as Markdown, for a page that renders it."""
    from ingestion_assets.study.pipeline import shortened

    short = shortened(collection, most=max(cards, questions))
    return write(short).decode()
