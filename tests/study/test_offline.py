"""What the rules without a provider make of real-life text: whole facts, options of one kind, no junk."""

from __future__ import annotations

import re

import pytest

from ingestion_assets.study.extraction.furniture import without_furniture
from ingestion_assets.study.model import Card, CardKind, Question, StudyOptions
from ingestion_assets.study.offline.context import DocumentContext
from ingestion_assets.study.offline.names import NameKind, Names
from ingestion_assets.study.offline.phrases import noun_phrases, what_does
from ingestion_assets.study.offline.standing import leans, usable
from ingestion_assets.study.sentences import Sentence, sentences
from ingestion_assets.study.text import folded
from tests.study.building import build, check_accounts, document

HISTORY_EN = (
    "In the summer of 1781, Cornwallis moved his army to Yorktown, Virginia. General Nathanael Greene led the army in "
    "South Carolina. Lord Cornwallis surrendered in Yorktown in October 1781 after a siege of three weeks. The British "
    "established a military government in Charleston under the command of General Henry Clinton. George Washington "
    "commanded the Continental Army from 1775 to 1783. Officials from the colonies met in Philadelphia in 1774. "
    "Benjamin Franklin "
    "negotiated the treaty with France in Paris. The Treaty of Paris was a peace agreement that ended the war in 1783."
)
SCIENCE_FR = (
    "La membrane interne émet de nombreux replis vers la matrice. La respiration cellulaire extrait l'énergie des molécules "
    "organiques pour produire de l'ATP. Le noyau contient l'information génétique de la cellule. La chlorophylle capte "
    "l'énergie lumineuse nécessaire aux réactions chimiques de la plante. La cellule est l'unité de base de tout organisme "
    "vivant. La photosynthèse est le mécanisme par lequel les plantes convertissent l'énergie lumineuse en énergie "
    "chimique. Louis Pasteur réfute la théorie de la génération spontanée en 1862. Rosalind Franklin étudie la structure de "
    "la molécule d'ADN à Londres en 1952. James Watson décrit la double hélice à Cambridge en 1953."
)


def sentence(text: str) -> Sentence:
    return Sentence(0, len(text), text)


def deck(text: str, **options: int) -> tuple[tuple[Card, ...], tuple[Question, ...]]:
    built = build([document("a.txt", text, paged=False)], StudyOptions(title="t", **options))  # type: ignore[arg-type]
    check_accounts(built)
    return built.collection.cards, built.collection.questions


@pytest.mark.parametrize(
    ("text", "language", "subject", "predicate"),
    [
        (
            "The plasma membrane controls the passage of ions and water.",
            "en",
            "plasma membrane",
            "controls the passage",
        ),
        ("Chloroplasts carry out photosynthesis in plant cells.", "en", "Chloroplasts", "carries out photosynthesis"),
        ("The nuclear envelope is punctuated with many small pores.", "en", "nuclear envelope", "is punctuated with"),
        (
            "La politique budgétaire regroupe les décisions de l'État.",
            "fr",
            "politique budgétaire",
            "regroupe les décisions",
        ),
        ("Les mitochondries produisent l'énergie de la cellule.", "fr", "mitochondries", "produit l'énergie"),
        ("La Terre est entourée d'une atmosphère riche en azote.", "fr", "Terre", "est entouré d'une"),
        ("Le noyau se divise en deux au cours de la mitose.", "fr", "noyau", "se divise en deux"),
    ],
)
def test_subject_and_predicate_are_told_apart(text: str, language: str, subject: str, predicate: str) -> None:
    found = what_does(text, language)
    assert found is not None
    assert text[found.start : found.end] == subject
    assert found.predicate.startswith(predicate)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("American forces under General Morgan beat the British at Cowpens.", "en"),
        ("Ribosomes receive their orders for protein synthesis from the nucleus.", "en"),
        ("The domestic slave trade offered many economic opportunities.", "en"),
        ("Whenever new slave states entered the Union, the balance changed.", "en"),
        ("When the demand rises, the price of the good rises as well.", "en"),
        ("La Constitution est prise comme modèle par de nombreux pays.", "fr"),
        ("Après la guerre, la ville se développe autour de son port.", "fr"),
    ],
)
def test_what_has_no_clear_subject_is_left_alone(text: str, language: str) -> None:
    assert what_does(text, language) is None


@pytest.mark.parametrize(
    ("text", "language", "phrases"),
    [
        ("It passes through the plasma membrane of the cell.", "en", {"plasma membrane", "cell"}),
        ("The botanist Matthias Schleiden studied the largest organelle.", "en", set()),
        ("Elle traverse la membrane externe de la cellule.", "fr", {"membrane externe", "cellule"}),
    ],
)
def test_whole_phrases_are_hidden_and_never_half_of_one(text: str, language: str, phrases: set[str]) -> None:
    found = {text[start:end] for start, end in noun_phrases(text, language)}
    assert phrases <= found
    assert not found & {"plasma", "membrane", "botanist", "largest"}


def test_names_are_persons_and_places_by_what_stands_around_them() -> None:
    names = Names("en")
    names.read(re.split(r"(?<=\.) ", HISTORY_EN))
    assert names.kind("General Nathanael Greene") is NameKind.PERSON
    assert names.kind("Benjamin Franklin") is NameKind.PERSON
    assert names.kind("Greene") is NameKind.PERSON
    assert {names.kind(place) for place in ("Yorktown", "Charleston", "Paris", "South Carolina")} == {NameKind.PLACE}
    assert names.kind("Treaty of Paris") is NameKind.OTHER
    french = Names("fr")
    french.read(re.split(r"(?<=\.) ", SCIENCE_FR))
    assert french.kind("Louis Pasteur") is NameKind.PERSON
    assert french.kind("Londres") is NameKind.PLACE


@pytest.mark.parametrize(("text", "language"), [(HISTORY_EN, "en"), (SCIENCE_FR, "fr")])
def test_wrong_options_are_of_the_kind_of_the_right_one(text: str, language: str) -> None:
    _, questions = deck(text, cards=10, questions=12)
    assert len(questions) >= 4
    names = Names(language)
    names.read(re.split(r"(?<=\.) ", text))
    for question in questions:
        years = {bool(re.fullmatch(r"\d{4}", option)) for option in question.options}
        assert len(years) == 1, question
        kinds = {names.kind(option) for option in question.options}
        assert len(kinds) == 1, question
        ends = [folded(option).split()[-1] for option in question.options]
        assert len(set(ends)) == len(ends), question


def test_persons_are_asked_for_with_who_and_things_with_what() -> None:
    cards, _ = deck(SCIENCE_FR, cards=20)
    fronts = {card.front: card.back for card in cards if card.kind is CardKind.BASIC}
    assert fronts["Qu’est-ce que la photosynthèse ?"].startswith("Le mécanisme")
    assert any(front.startswith("Qui ") and back == "Louis Pasteur" for front, back in fronts.items())
    assert any(front.startswith("Qu’est-ce qui extrait") and "respiration" in back for front, back in fronts.items())
    assert not any(front.startswith("Qu’est-ce qui") and "Pasteur" in back for front, back in fronts.items())


def test_offices_and_ages_are_asked_for_with_who_and_never_stand_beside_things() -> None:
    cards, questions = deck(
        "Le mineur peut contracter seul pour satisfaire ses besoins ordinaires. L'usufruit est le droit de jouir d'un "
        "bien dont "
        "un autre est propriétaire. L'hypothèque est un droit réel sur un bien affecté à une obligation. Le bail régit les "
        "rapports entre le locateur et le locataire. Le délai est de trois ans pour la plupart des actions personnelles.",
        cards=10,
        questions=10,
    )
    fronts = [card.front for card in cards]
    assert "Qui peut contracter seul pour satisfaire ses besoins ordinaires ?" in fronts
    assert not any("délai" in front and front.startswith("Qu’est-ce que") for front in fronts), (
        "a measure is no definition"
    )
    assert questions
    assert not any("Mineur" in question.options for question in questions)


def test_numbers_of_kinds_and_days_are_not_asked_for() -> None:
    cards, _ = deck(
        "Type 1 diabetes is an autoimmune disease that destroys the beta cells of the pancreas. The treatment was first "
        "tried "
        "in Toronto on 11 January 1922. About 90% of all patients have the other form of the disease. The survey of "
        "2004 asked "
        "between 300 and 500 families about their habits.",
        cards=12,
        questions=0,
    )
    assert "What is type 1 diabetes?" in [card.front.replace("Type", "type") for card in cards]
    assert {card.back for card in cards if card.back.isdigit()} <= {"1922", "90", "2004"}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Rudolf Virchow added the last statement in 1855.", "en"),
        ("Ten years later, Antonie van Leeuwenhoek observed living cells in water.", "en"),
        ("As you can see, the cell needs its membrane to live.", "en"),
        ("Les deux généraux meurent des suites de leurs blessures.", "fr"),
        ("Dans ces conditions, la demande de monnaie augmente vite.", "fr"),
        ("Expliquez le rôle de l'intendant dans la colonie.", "fr"),
    ],
)
def test_sentences_that_lean_on_others_are_known(text: str, language: str) -> None:
    assert leans(text, language)


@pytest.mark.parametrize(
    "text",
    [
        "© 2021 Rice Press and its many authors of this book. All rights reserved.",
        "1. Les débuts de la colonie ............................ 3 et la suite.",
        "INTRODUCTION TO ECONOMICS AND OTHER SUBJECTS FOR BEGINNERS, PART ONE.",
        "Amino acids are the building blocks of proteins. and a small subunit.",
        "Read more about it at https://example.org/cells before the exam.",
        "The organelle | its function | its place in the cell are listed.",
    ],
)
def test_junk_is_no_subject_matter(text: str) -> None:
    assert not usable(sentence(text), "en")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Livrer rapidement et régulièrement une nouvelle version de l'application.", "fr"),
        ("Les conteneurs qui sont des instances des images de la machine.", "fr"),
        ("L'utilisation d'un serveur assurant un rôle de répartiteur de charge.", "fr"),
        ("Understanding the structure of the cell in its natural environment.", "en"),
    ],
)
def test_a_bullet_with_a_full_stop_is_no_sentence(text: str, language: str) -> None:
    assert not usable(sentence(text), language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Montréal capitule devant les troupes britanniques le 8 septembre 1760.", "fr"),
        ("Le castor, qui vit dans les rivières, est recherché pour sa fourrure.", "fr"),
        ("The inventor sold a model that weighed no more than three hundred grams.", "en"),
    ],
)
def test_a_sentence_with_a_verb_is_one(text: str, language: str) -> None:
    assert usable(sentence(text), language)


def test_a_running_head_is_no_glossary() -> None:
    head = "INTRODUCTION À L'ÉCONOMIE — Notes de cours pour débutants Page 12\n\n"
    cards, _ = deck(head + SCIENCE_FR)
    assert not any("INTRODUCTION" in card.front + card.back for card in cards)


def test_a_definition_stops_where_another_statement_begins() -> None:
    cards, _ = deck(
        "The nucleus is the largest organelle of an animal cell and houses the genetic material. A hypotonic solution is a "
        "liquid with few solutes, so water enters the cell quickly. The reticulum is a network of membranes that modifies "
        "proteins and synthesizes lipids. Yorktown was a tobacco port on a peninsula of Virginia."
    )
    backs = {card.back for card in cards}
    assert "The largest organelle of an animal cell" in backs
    assert "A network of membranes that modifies proteins and synthesizes lipids" in backs
    assert not any("water enters" in back for back in backs)


def test_what_would_be_right_as_well_is_no_wrong_option() -> None:
    _, questions = deck(
        "A vacuole is a membrane-bound sac that serves for storage and transport. A vesicle is a small membrane-bound sac "
        "that serves for storage and transport. A ribosome is a small body that builds proteins from amino acids. A "
        "lysosome is "
        "an organelle that digests the waste of the cell. The nucleus is the organelle that holds the genetic material.",
        cards=0,
        questions=5,
    )
    for question in questions:
        assert not {"Vacuole", "Vesicle"} <= set(question.options), question
    assert questions


def test_fewer_good_items_rather_than_doubtful_ones_unless_a_number_is_asked_for() -> None:
    text = (
        "A glacier is a large body of ice that moves down a slope. In this way, the farmers of the valley kept their salt "
        "for years. The second part of the story took place in Geneva in 1850."
    )
    few, _ = deck(text)
    assert [card.front for card in few] == ["What is a glacier?"]
    many, _ = deck(text, cards=5)
    assert len(many) > 1


def test_facts_are_the_same_every_time() -> None:
    assert deck(SCIENCE_FR, cards=20) == deck(SCIENCE_FR, cards=20)


def test_heads_and_footers_are_no_text_and_what_differs_is() -> None:
    animals = ["ants", "bees", "cats", "dogs", "emus", "foxes", "geese", "hares"]
    bodies = [f"Of {animal}.\nThe life of {animal} is short.\nMany {animal} live in woods." for animal in animals]
    pages = [
        f"Biology 101 — Chapter {1 + number // 5}\n{body}\nPage {number + 1} of 8" for number, body in enumerate(bodies)
    ]
    assert without_furniture(pages) == bodies
    assert without_furniture(pages[:2]) == pages[:2], "two pages prove nothing"


def test_a_narrow_column_is_no_row_of_headings() -> None:
    column = (
        "Les débuts\n"
        "Samuel de Champlain fonde la ville de\n"
        "Québec en 1608 avec vingt-huit hommes.\n"
        "Paul de Chomedey de Maisonneuve fonde\n"
        "Ville-Marie en 1642 sur une grande île."
    )
    assert [found.text for found in sentences(column)] == [
        "Les débuts",
        "Samuel de Champlain fonde la ville de Québec en 1608 avec vingt-huit hommes.",
        "Paul de Chomedey de Maisonneuve fonde Ville-Marie en 1642 sur une grande île.",
    ]


def test_a_numbered_heading_is_no_part_of_the_sentence_below_it() -> None:
    """Cards asked what "Glob files The globs2 file" is, and hid the page number of a running head."""
    text = (
        "2.4. The glob files\n"
        "The globs2 file is a simple list of lines, each with a weight, a type and a pattern.\n"
        "Chapter 3: Utilities 7\n"
        "3.1 Water supply of canals\n"
        "A summit pound is the highest stretch of a canal, and every boat that passes\n"
        "12 Flemish gates drains it."
    )
    assert [found.text for found in sentences(text)][-4:] == [
        "The globs2 file is a simple list of lines, each with a weight, a type and a pattern.",
        "Chapter 3: Utilities 7",
        "3.1 Water supply of canals",
        "A summit pound is the highest stretch of a canal, and every boat that passes 12 Flemish gates drains it.",
    ]


def test_a_unit_ends_a_sentence_and_an_initial_does_not() -> None:
    text = "Venus reaches a temperature of 465 °C. Mars is cold.\nIn 1972, S. J. Singer proposed the model."
    assert [found.text for found in sentences(text)] == [
        "Venus reaches a temperature of 465 °C.",
        "Mars is cold.",
        "In 1972, S. J. Singer proposed the model.",
    ]


def test_a_context_reads_every_chunk_once_in_order() -> None:
    from ingestion_assets.study.chunks import chunk_document

    chunks = chunk_document(document("a.txt", "\n\n".join([SCIENCE_FR] * 8), paged=False))
    context = DocumentContext.of(chunks, "fr")
    assert set(context.facts) == {chunk.number for chunk in chunks}
    for chunk in chunks:
        for fact in context.facts[chunk.number]:
            assert fact.answer in chunk.text.replace("\n", " ")
