"""What other programs read from a deck: the right items, no formulas, no markup of the document's making."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from defusedxml import ElementTree

from ingestion_assets.study.exports import FORMATS, ExportFormatError, export
from ingestion_assets.study.exports.tabular import anki_field, neutral
from ingestion_assets.study.model import CardKind
from ingestion_assets.study.results import Collection
from tests.study.building import build, document

HOSTILE = '=HYPERLINK("x") <script>alert(1)</script> ~a=b#c{d}:e\\f | *g* é & ]]> {{c9::x'


@pytest.fixture(scope="module")
def collection() -> Collection:
    text = (
        "A barometer is an instrument that measures the pressure of the air. A "
        "hygrometer is an instrument that measures the "
        "humidity of the air. An anemometer is an instrument that measures the speed of the wind. A glacier is a large body "
        "of ice that moves slowly down a slope. In 1643, Evangelista Torricelli built the first barometer in Florence."
    )
    return build([document("météo & co.pdf", text)]).collection


@pytest.fixture
def hostile(collection: Collection) -> Collection:
    cards = tuple(replace(card, back=HOSTILE, front=HOSTILE, kind=CardKind.BASIC) for card in collection.cards[:1])
    questions = tuple(
        replace(question, stem=HOSTILE, options=(HOSTILE, "+1", "@b", "-c"), key=0)
        for question in collection.questions[:1]
    )
    return replace(collection, cards=cards, questions=questions, title="a/b ${x} <i>")


def test_every_format_is_written(collection: Collection) -> None:
    assert collection.cards
    assert collection.questions
    for form in FORMATS:
        assert len(export(collection, form)) > 100
    with pytest.raises(ExportFormatError, match="valid ones are"):
        export(collection, "exe")


def test_json_holds_evidence_that_is_in_the_text(collection: Collection) -> None:
    found = json.loads(export(collection, "json"))
    [source] = collection.documents
    for item in (*found["cards"], *found["questions"]):
        evidence = item["evidence"]
        assert source.text[evidence["start"] : evidence["end"]] == evidence["quote"]
        assert evidence["document"] == "météo & co.pdf"
        assert evidence["page"] == 1
    assert len(found["cards"]) == len(collection.cards)


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "=cmd|'/C calc'!A0", "＝1", "  =1", "\n=1"]
)
def test_a_cell_is_never_a_formula(cell: str) -> None:
    assert neutral(cell) == "'" + cell
    assert neutral("a" + cell) == "a" + cell


def test_csv_has_one_row_an_item_and_no_formula(hostile: Collection) -> None:
    rows = list(csv.reader(io.StringIO(export(hostile, "csv").decode("utf-8-sig"))))
    assert len(rows) == 1 + len(hostile.cards) + len(hostile.questions)
    assert {len(row) for row in rows} == {len(rows[0])}
    assert not any(cell.startswith(tuple("=+-@\t\r")) for row in rows[1:] for cell in row)


def test_a_spreadsheet_finds_no_formula_and_no_markup_in_the_tsv(hostile: Collection) -> None:
    lines = export(hostile, "tsv").decode().splitlines()
    assert lines[:3] == ["#separator:tab", "#html:true", "#tags column:3"]
    assert "<script>" not in "".join(lines)
    rows = list(csv.reader(lines[3:], delimiter="\t"))
    assert {len(row) for row in rows} == {3}
    assert not any(cell.startswith(tuple("=+-@|%＝")) for row in rows for cell in row)


@pytest.mark.parametrize("text", ["-273.15 °C", "+1 & -1", "#include <x>", "  =SUM(1)", "100 %", "％", "'quoted'"])
def test_a_field_of_the_tsv_shows_the_text_itself(text: str) -> None:
    assert unescape(anki_field(text)) == text.strip()


def test_the_tsv_holds_every_question_with_its_options_and_its_answer(collection: Collection) -> None:
    questions = replace(collection, cards=())
    rows = list(csv.reader(export(questions, "tsv").decode().splitlines()[3:], delimiter="\t"))
    assert len(rows) == len(collection.questions) > 0
    for (front, back, tag), question in zip(rows, collection.questions, strict=True):
        assert unescape(front).startswith(question.stem)
        assert [unescape(option) for option in re.findall("<li>(.*?)</li>", front)] == list(question.options)
        assert unescape(back).startswith(f"{question.answer}<br>")
        assert tag == f"study::{question.difficulty}"


def test_markdown_shows_hostile_text_as_text(hostile: Collection) -> None:
    text = export(hostile, "md").decode()
    assert "<script>" not in text
    assert "<i>" not in text
    [row] = [line for line in text.splitlines() if "HYPERLINK" in line and line.startswith("|")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 4


_GIFT_TOKEN = re.compile(r"\\.|[~={}]|#{1,4}|::|[^\\~={}#:]+|:")


def parse_gift(text: str) -> list[dict[str, list[str] | str]]:
    """A reader of the format as documented, strict about unescaped special characters."""
    items: list[dict[str, list[str] | str]] = []
    for block in text.strip().split("\n\n"):
        if block.startswith("$CATEGORY:"):
            continue
        match = re.fullmatch(r"::((?:\\.|[^:\\])+)::\[html\]((?:\\.|[^\\{}~=#])+)\{\n(.*)\n\}", block, re.DOTALL)
        assert match, block
        right, wrong, feedback = [], [], ""
        for line in match.group(3).split("\n"):
            entry = re.fullmatch(r"\t(=|~|####)((?:\\.|[^\\{}~=#])*)", line)
            assert entry, line
            value = re.sub(r"\\(.)", r"\1", entry.group(2))
            if entry.group(1) == "=":
                right.append(value)
            elif entry.group(1) == "~":
                wrong.append(value)
            else:
                feedback = value
        items.append({"name": match.group(1), "right": right, "wrong": wrong, "feedback": feedback})
    return items


def test_gift_reads_back(collection: Collection, hostile: Collection) -> None:
    items = parse_gift(export(collection, "gift").decode())
    assert len(items) == len(collection.cards) + len(collection.questions)
    for item, question in zip(items, collection.questions, strict=False):
        assert item["right"] == [question.answer]
        assert item["wrong"] == [option for option in question.options if option != question.answer]
    [question, card] = parse_gift(export(hostile, "gift").decode())
    assert question["right"] == [HOSTILE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")]
    assert card["right"] == [HOSTILE.replace("*", r"\*")]


def accepted(pattern: str, typed: str) -> bool:
    """How Moodle compares a short answer: an asterisk that no backslash stands before is any text."""
    bits = re.split(r"(?<!\\)\*+", pattern)
    return re.fullmatch(".*".join(re.escape(bit.replace(r"\*", "*")) for bit in bits), typed) is not None


def with_back(collection: Collection, back: str) -> Collection:
    return replace(collection, cards=(replace(collection.cards[0], back=back, kind=CardKind.BASIC),), questions=())


@pytest.mark.parametrize(
    "back",
    [
        "R&D < 5*2",
        "a -> b",
        "x*->*y",
        r"C:\temp\*.txt",
        r"\*",
        "{a: 1} = b ~ c # d",
        "5\n6",
        "[plain] text",
        "%50% of it",
    ],
)
@pytest.mark.parametrize("form", ["gift", "xml"])
def test_moodle_accepts_the_answer_of_a_card_and_no_other(collection: Collection, back: str, form: str) -> None:
    content = export(with_back(collection, back), form)
    if form == "gift":
        assert b"->" not in content
        [card] = parse_gift(content.decode())
        [pattern] = card["right"]
        pattern = re.sub(r"^%100%(?:\[plain\])?", "", pattern)
    else:
        pattern = ElementTree.fromstring(content).findtext("question[@type='shortanswer']/answer/text") or ""
    assert accepted(pattern, " ".join(back.split()))
    assert not accepted(pattern, back.replace("*", "anything").replace("b", "c") + "!")


@pytest.mark.parametrize("start", ["[plain] a", "[markdown]", "%50% a"])
def test_an_option_that_looks_like_a_format_or_a_grade_is_text_to_moodle(collection: Collection, start: str) -> None:
    question = replace(collection.questions[0], options=("a", start, "b"), key=0)
    [read] = parse_gift(export(replace(collection, cards=(), questions=(question,)), "gift").decode())
    assert not str(read["wrong"][0]).startswith(("[", "%"))
    assert unescape(read["wrong"][0]) == start


def test_moodle_xml_is_well_formed_and_complete(collection: Collection, hostile: Collection) -> None:
    tree = ElementTree.fromstring(export(collection, "xml"))
    kinds = [node.get("type") for node in tree.findall("question")]
    assert kinds == ["category"] + ["multichoice"] * len(collection.questions) + ["shortanswer"] * len(collection.cards)
    for node, question in zip(tree.findall("question[@type='multichoice']"), collection.questions, strict=True):
        fractions = [answer.get("fraction") for answer in node.findall("answer")]
        assert sorted(fractions) == ["0"] * (len(question.options) - 1) + ["100"]
        assert node.findtext("single") == "true"
        assert node.findtext("questiontext/text")
        assert node.findtext("name/text") == question.id
    stem = ElementTree.fromstring(export(hostile, "xml")).findtext("question[@type='multichoice']/questiontext/text")
    assert stem is not None
    assert "<script>" not in stem
    assert "&lt;script&gt;" in stem


@pytest.mark.parametrize("form", ["xml", "gift"])
def test_no_character_that_xml_refuses_gets_into_a_file_for_moodle(collection: Collection, form: str) -> None:
    raw = "one\x0btwo\x08\x00 three\ufffe\ud800"
    cards = (replace(collection.cards[0], front=raw, back=raw, kind=CardKind.BASIC),)
    questions = (replace(collection.questions[0], stem=raw, options=(raw, "b", "c"), key=0),)
    content = export(replace(collection, cards=cards, questions=questions, title=raw), form).decode()
    if form == "xml":
        tree = ElementTree.fromstring(content)
        assert tree.findtext("question[@type='shortanswer']/answer/text") == "one two three"
        assert tree.findtext("question[@type='multichoice']/questiontext/text") == "one two three"
    else:
        assert content.count("one two three") == 5
        assert not re.search("[\x00-\x08\x0b\ufffe]", content)


def anki_collection(path: Path):  # type: ignore[no-untyped-def]
    pytest.importorskip("anki")
    from anki.collection import Collection as Anki

    return Anki(str(path))


def import_deck(anki, content: bytes, folder: Path) -> None:  # type: ignore[no-untyped-def]
    from anki.collection import ImportAnkiPackageOptions, ImportAnkiPackageRequest

    path = folder / "deck.apkg"
    path.write_bytes(content)
    anki.import_anki_package(ImportAnkiPackageRequest(package_path=str(path), options=ImportAnkiPackageOptions()))


def test_anki_imports_every_note_and_a_new_edition_keeps_the_reviews(collection: Collection, tmp_path: Path) -> None:
    anki = anki_collection(tmp_path / "collection.anki2")
    try:
        import_deck(anki, export(collection, "apkg"), tmp_path)
        assert anki.note_count() == collection.items
        assert anki.card_count() == collection.items
        for card_id in anki.find_cards(""):
            card = anki.get_card(card_id)
            card.ivl, card.reps, card.type, card.queue, card.due = 21, 5, 2, 2, 40
            anki.update_card(card)
        # An editor changed one answer; the note has to be newer than what was imported.
        edited = replace(
            collection,
            cards=tuple(
                replace(card, back="Corrected answer") if place == 0 and card.kind is CardKind.BASIC else card
                for place, card in enumerate(sorted(collection.cards, key=lambda card: card.kind))
            ),
        )
        changed = newer(export(edited, "apkg"), tmp_path)
        import_deck(anki, changed, tmp_path)
        assert anki.note_count() == collection.items
        assert {anki.get_card(card_id).ivl for card_id in anki.find_cards("")} == {21}
        assert len(anki.find_notes('"Corrected answer"')) == 1
    finally:
        anki.close()


def test_anki_reads_every_item_of_the_tsv_as_it_is(collection: Collection, tmp_path: Path) -> None:
    anki = anki_collection(tmp_path / "collection.anki2")
    from anki.collection import ImportCsvRequest

    fronts = ("-273.15 °C", "#include is what?", "=1+1", "plain")
    cards = tuple(replace(collection.cards[0], front=front, back=front, kind=CardKind.BASIC) for front in fronts)
    path = tmp_path / "deck.tsv"
    path.write_bytes(export(replace(collection, cards=cards), "tsv"))
    try:
        anki.import_csv(ImportCsvRequest(path=str(path), metadata=anki.get_csv_metadata(str(path), None)))
        notes = [anki.get_note(note_id) for note_id in anki.find_notes("")]
        assert len(notes) == len(cards) + len(collection.questions)
        shown = [unescape(note.fields[0]) for note in notes]
        assert shown[: len(cards)] == list(fronts)
        assert all(unescape(note.fields[1]).startswith(front) for note, front in zip(notes, fronts, strict=False))
        assert {tag for note in notes for tag in note.tags} <= {"study::easy", "study::medium", "study::hard"}
    finally:
        anki.close()


def newer(content: bytes, folder: Path) -> bytes:
    """The package as if it had been written a minute later."""
    import sqlite3
    import zipfile

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path = folder / "inner.anki2"
    path.write_bytes(members["collection.anki2"])
    with sqlite3.connect(path) as database:
        database.execute("UPDATE notes SET mod = mod + 60")
    members["collection.anki2"] = path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return buffer.getvalue()


def test_anki_shows_hostile_text_as_text(hostile: Collection, tmp_path: Path) -> None:
    anki = anki_collection(tmp_path / "collection.anki2")
    try:
        import_deck(anki, export(hostile, "apkg"), tmp_path)
        assert anki.note_count() == 2
        for note_id in anki.find_notes(""):
            assert "<script>" not in "".join(anki.get_note(note_id).fields)
    finally:
        anki.close()


@pytest.mark.parametrize("form", ["apkg", "tsv"])
def test_a_tag_of_ankis_own_is_text(collection: Collection, form: str, tmp_path: Path) -> None:
    r"""A document about Anki made cards that played a file. Formulas, `\[x\]`, stay what they are."""
    front = r"What do [sound:x.mp3], [LaTeX]y[/latex], [$]z[/$] and \[x^2\] do?"
    card = replace(collection.cards[0], front=front, kind=CardKind.BASIC)
    deck = replace(collection, cards=(card,), questions=())
    anki = anki_collection(tmp_path / "collection.anki2")
    try:
        if form == "apkg":
            import_deck(anki, export(deck, form), tmp_path)
        else:
            (tmp_path / "deck.tsv").write_bytes(export(deck, form))
            from anki.collection import ImportCsvRequest

            path = str(tmp_path / "deck.tsv")
            anki.import_csv(ImportCsvRequest(path=path, metadata=anki.get_csv_metadata(path, None)))
        [note_id] = anki.find_notes("")
        [shown] = anki.get_note(note_id).cards()
        assert shown.question_av_tags() == []
        assert front in unescape(shown.question())
    finally:
        anki.close()


def test_ids_in_anki_belong_to_the_collection(collection: Collection) -> None:
    other = replace(collection, key="another collection")
    assert export(other, "json") == export(collection, "json")
    assert export(other, "apkg") != export(collection, "apkg")
