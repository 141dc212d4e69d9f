"""Moodle XML (docs.moodle.org, "Moodle XML format"): `multichoice` for questions, `shortanswer` for cards.

Built as a tree, so that nothing a document says is markup; texts are HTML in Moodle and escaped once more for it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from html import escape

from ingestion_assets.study.exports.common import names, short_answer, shown_front, shown_quote, source_line, storable
from ingestion_assets.study.results import Collection


def write(collection: Collection) -> bytes:
    """A `quiz` document."""
    documents = names(collection)
    quiz = ET.Element("quiz")
    category = ET.SubElement(ET.SubElement(quiz, "question", type="category"), "category")
    # A slash makes a sub-category.
    _text(category, f"$course$/top/{collection.title.replace('/', '//')}")
    for question in collection.questions:
        node = _question(quiz, "multichoice", question.id, question.stem)
        _feedback(node, f"{shown_quote(question.evidence)} ({source_line(question.evidence, documents)})")
        ET.SubElement(node, "defaultgrade").text = "1"
        ET.SubElement(node, "single").text = "true"
        ET.SubElement(node, "shuffleanswers").text = "true"
        ET.SubElement(node, "answernumbering").text = "abc"
        for place, option in enumerate(question.options):
            answer = ET.SubElement(node, "answer", fraction="100" if place == question.key else "0", format="html")
            _text(answer, escape(option, quote=False))
    for card in collection.cards:
        node = _question(quiz, "shortanswer", card.id, shown_front(card))
        _feedback(node, source_line(card.evidence, documents))
        ET.SubElement(node, "usecase").text = "0"
        answer = ET.SubElement(node, "answer", fraction="100", format="plain_text")
        _text(answer, short_answer(card))
    ET.indent(quiz)
    tree: bytes = ET.tostring(quiz, encoding="utf-8", xml_declaration=True)
    return tree


def _question(quiz: ET.Element, kind: str, name: str, stem: str) -> ET.Element:
    node = ET.SubElement(quiz, "question", type=kind)
    _text(ET.SubElement(node, "name"), name)
    _text(ET.SubElement(node, "questiontext", format="html"), escape(stem, quote=False))
    return node


def _feedback(node: ET.Element, text: str) -> None:
    _text(ET.SubElement(node, "generalfeedback", format="html"), escape(text, quote=False))


def _text(parent: ET.Element, text: str) -> None:
    ET.SubElement(parent, "text").text = storable(text)
