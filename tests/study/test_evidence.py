"""A quote counts when it stands in the source, in whatever typography; never when it is only similar."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.study.evidence import Source, unsupported, verify
from ingestion_assets.study.extraction.canonical import canonical
from ingestion_assets.study.model import Chunk, Document, DocumentStatus
from ingestion_assets.study.sentences import sentences
from ingestion_assets.study.text import fold, numbers, squeeze

TEXT = (
    "The Rhône rises at 2,209 metres in the “Furka” area.\nIt is the out-\nlet of a lake—and it car-\nries 1.5 tonnes "
    "of sand.\n\nL’eﬃcacité des digues fut mesurée en 1856\u00a0: 12\u202f500 mètres cubes."
)


def document(text: str = TEXT, pages: tuple[int, ...] = (0, 60)) -> Document:
    return Document(name="a", sha256="0" * 64, status=DocumentStatus.READY, text=text, page_starts=pages)


def whole(text: str = TEXT) -> Chunk:
    return Chunk(document_id="0" * 16, number=0, start=0, end=len(text), text=text, words=9, sha256="")


@pytest.mark.parametrize(
    "quote",
    [
        'The Rhône rises at 2,209 metres in the "Furka" area.',
        "THE RHO\u0302NE RISES AT 2,209 METRES",
        "It is the outlet of a lake - and it carries 1.5 tonnes",
        "It is the out-let of a lake, and it carries 1.5 tonnes of sand",
        "L'efficacité des digues fut mesurée en 1856",
        "fut mesurée en 1856 : 12 500 mètres cubes",
        "lake—and it car-\nries 1.5 tonnes",
    ],
)
def test_a_quote_is_found_through_typography_and_line_ends(quote: str) -> None:
    found = Source(document()).find(quote, whole())
    assert found is not None
    assert verify(found, document())
    assert numbers(found.quote) == numbers(quote)


@pytest.mark.parametrize(
    "quote",
    [
        "The Rhône rises at 2,309 metres",
        "The Rhone rises at 2,209 metres",
        "It is the inlet of a lake and it carries",
        "it carries 15 tonnes of sand and",
        "and it carries 1.50 tons of sand",
        "209 metres in the “Furka” area",
        "hône rises at 2,209 metres",
        "fut mesurée en 1856 : 12 50",
        "",
        "   ",
    ],
)
def test_a_quote_with_a_changed_letter_digit_or_cut_word_is_not_found(quote: str) -> None:
    assert Source(document()).find(quote, whole()) is None


def test_a_quote_from_elsewhere_in_the_document_is_found_with_its_page() -> None:
    source = Source(document())
    chunk = Chunk(document_id="0" * 16, number=0, start=0, end=20, text=TEXT[:20], words=4, sha256="")
    found = source.find("mesurée en 1856 : 12 500 mètres cubes", chunk)
    assert found is not None
    assert found.page == 2
    assert verify(found, document())


def test_verification_fails_when_text_offsets_or_page_differ() -> None:
    from dataclasses import replace

    found = Source(document()).find("It is the outlet of a lake", whole())
    assert found is not None
    assert verify(found, document())
    assert not verify(replace(found, start=found.start + 1), document())
    assert not verify(replace(found, page=2 if found.page == 1 else 1), document())
    assert not verify(found, document(TEXT.replace("lake", "lace")))


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        ("in 1856", ()),
        ("in 1857", ("1857",)),
        ("2209", ()),
        ("12500", ()),
        ("the river Rhône", ()),
        ("the river Rhine", ("Rhine",)),
        ("sand", ()),
    ],
)
def test_numbers_and_names_of_an_answer_must_stand_near_its_quote(answer: str, missing: tuple[str, ...]) -> None:
    assert unsupported(answer, TEXT) == missing


@given(st.text(max_size=200))
def test_folding_keeps_the_way_back(text: str) -> None:
    folded = fold(text)
    assert len(folded.text) == len(folded.starts) == len(folded.ends)
    assert all(0 <= start < end <= len(text) for start, end in zip(folded.starts, folded.ends, strict=True))
    assert list(folded.starts) == sorted(folded.starts)


@given(
    st.lists(st.sampled_from(["Le chat dort.", "A cat sleeps.", "Dr. Roy left", "\n", "\n\n", "- item", " ", "3.5 m."]))
)
def test_sentences_are_stretches_of_the_text_in_order(parts: list[str]) -> None:
    text = " ".join(parts)
    at = 0
    for sentence in sentences(text):
        assert at <= sentence.start < sentence.end <= len(text)
        assert squeeze(text[sentence.start : sentence.end]) == sentence.text
        at = sentence.end
    assert "".join("".join(s.text.split()) for s in sentences(text)) == "".join(text.split())


@pytest.mark.parametrize("part", [" ", "\t", "A. ", "M. ", ". "])
def test_a_text_of_one_thing_repeated_costs_no_more_than_another(part: str) -> None:
    """A text of 100,000 characters comes with a request, and holds up the worker while it is read."""
    started = time.process_time()
    text = canonical([f"a{part * (100_000 // len(part))}b"], paged=False).text
    assert len(list(sentences(text))) >= 1
    assert time.process_time() - started < 5
