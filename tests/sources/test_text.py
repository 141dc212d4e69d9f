"""Text from outside: markup to plain text, cleaning, and JSON that PostgreSQL can hold."""

import json
import math
import unicodedata

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.events.model import RejectReason
from ingestion_assets.events.sources.text import (
    MAX_DEPTH,
    UnstorableError,
    clean_text,
    html_to_text,
    storable,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        (" \t\r\n\u00a0", None),
        ("nan", None),
        ("NaN", None),
        ("Undefined", None),
        ("null", None),
        ("Nan", "Nan"),  # somebody's name
        ("undefined behaviour", "undefined behaviour"),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        ([], None),
        ({"a": 1}, None),
        (b"bytes", None),
        (12, "12"),
        (1.5, "1.5"),
        ("deux  espaces\u00a0fines\u202fet\ttab\nligne", "deux espaces fines et tab ligne"),
        ("Cafe\u0301", "Café"),
        ("a\x00b\x07c\x1b[0m", "abc[0m"),
        ("l\x92\u00e9t\u00e9 \x93vert\x94", "l’été “vert”"),
        ("\ud800seul", "seul"),
        ("\ud83d\ude00", "😀"),
        ("👩\u200d🎨", "👩\u200d🎨"),
        ("in\u00advisible\u200b\ufeff", "invisible"),
        ("\u202efdp.exe\u202c", "fdp.exe"),
        ("a\u2028b\u0085c", "a b…c"),
    ],
)
def test_clean_text(value: object, expected: str | None):
    assert clean_text(value) == expected


def test_a_number_too_long_for_python_to_write_is_written_all_the_same():
    assert clean_text(10**5000) == storable(10**5000) == hex(10**5000)


def test_a_text_that_is_too_long_ends_in_an_ellipsis():
    assert clean_text("abcdef", limit=6) == "abcdef"
    assert clean_text("abcdefg", limit=6) == "abcde…"
    assert clean_text("abcd efgh", limit=6) == "abcd…"
    assert clean_text("ab", limit=1) == "…"


def test_line_breaks_stay_where_they_are_asked_for():
    assert clean_text(" a \r\n b\r c \n\n\n\n d ", lines=True) == "a\nb\nc\n\nd"
    assert clean_text("\n\n", lines=True) is None


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec=None)), st.one_of(st.none(), st.integers(1, 20)), st.booleans())
def test_clean_text_is_storable_stable_and_within_its_limit(text: str, limit: int | None, lines: bool):
    clean = clean_text(text, limit=limit, lines=lines)
    if clean is None:
        return
    clean.encode("utf-8")
    assert "\x00" not in clean
    assert clean == clean.strip()
    assert unicodedata.is_normalized("NFC", clean)
    assert limit is None or len(clean) <= limit
    assert clean_text(clean, limit=limit, lines=lines) == clean


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("Texte simple", "Texte simple"),
        ("Deux\nlignes", "Deux\nlignes"),
        ("Caf&eacute; &amp; th&#233; &#x2014; &lt;3", "Café & thé — <3"),
        ("3 < 4 & 5 > 2", "3 < 4 & 5 > 2"),
        ("Voir <https://example.org/a?b=1&c=2>", "Voir <https://example.org/a?b=1&c=2>"),
        ("<p>Un</p><p>Deux</p>", "Un\n\nDeux"),
        ("<p>Un\n  seul\n paragraphe</p>", "Un seul paragraphe"),
        ("Un<br>Deux<br/>Trois", "Un\nDeux\nTrois"),
        ("<ul><li>un</li><li>deux</li></ul>fin", "- un\n- deux\n\nfin"),
        ("<b>Gras</b>, <i>italique</i> et <a href='x'>lien</a>", "Gras, italique et lien"),
        ("<td>a</td>", "a"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\n\nc"),
        ("<script>alert(1)</script><style>p{}</style><p>texte<!-- caché --></p>", "texte"),
        ("<head><title>T</title></head><body>corps</body>", "corps"),
        ("<p>non <b>fermé", "non fermé"),
        ("<P CLASS=x>MAJUSCULES</P>", "MAJUSCULES"),
        ("</p>", ""),
        ("<img src=x onerror=alert(1)>", ""),
        ("<div>a<div>b</div>c</div>", "a\nb\nc"),
        ("<p>&nbsp;</p><p>x</p>", "x"),
        ("<p>\ud83d\ude00 \ud800\x00</p>", "😀"),
        ("<h2>Titre</h2>suite", "Titre\n\nsuite"),
        ("mot<wbr>coupé", "mot<wbr>coupé"),
    ],
)
def test_html_to_text(html: str, text: str):
    assert html_to_text(html) == text


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("<>/&;=\"' abdivplscrt!-\n\x00\ud800é"), max_size=200))
def test_no_markup_makes_html_to_text_fail_or_leave_what_cannot_be_stored(html: str):
    text = html_to_text(html)
    text.encode("utf-8")
    assert "\x00" not in text
    assert "<script>" not in text or "<script>" in html or "&" in html


@pytest.mark.parametrize("tag", ["<div>", "<ul><li>", "<b>", "<p><b>", "<table>", "<a href=x>", "<font>"])
def test_markup_nested_a_hundred_thousand_deep_is_read_up_to_a_bound(tag: str):
    # Unbounded, the parser takes minutes for each of these, and the suite's time limit ends it.
    assert html_to_text(f"<p>avant</p>{tag * 100_000}").startswith("avant")


def test_endless_markup_is_cut():
    assert len(html_to_text("<p>" + "x" * 3_000_000)) < 1_000_001


# storable


def test_what_can_be_stored_is_the_same_object():
    value = {"a": [1, 2.5, None, True, "é", {"b": "c"}], "n": -(2**63), "u": 2**64 - 1}
    assert storable(value) is value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\x00b", "ab"),
        ("\ud83d\ude00\ud800", "😀"),
        (float("nan"), None),
        (-math.inf, None),
        (2**64, str(2**64)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        ({"k\x00": 1}, {"k": 1}),
        ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ([["x\x00"], "y"], [["x"], "y"]),
    ],
)
def test_what_postgresql_refuses_is_repaired(value: object, expected: object):
    assert storable(value) == expected
    orjson.dumps(storable(value))


def test_nesting_without_end_is_refused_with_its_reason():
    deep: object = "x"
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert storable(deep) is deep
    endless: list[object] = []
    endless.append(endless)
    for value in ([deep], {"a": deep}, endless):
        with pytest.raises(UnstorableError, match=f"deeper than {MAX_DEPTH}") as failure:
            storable(value)
        assert failure.value.reason is RejectReason.TOO_DEEP


def test_values_that_json_does_not_have_are_refused():
    with pytest.raises(UnstorableError, match="no value of type set") as failure:
        storable({"a": {1, 2}})
    assert failure.value.reason is RejectReason.INVALID_VALUE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec=None), max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_what_comes_out_can_be_stored_and_stays_the_same(value: object):
    kept = storable(value)
    assert b"\\u0000" not in orjson.dumps(kept)
    json.dumps(kept, allow_nan=False)
    assert storable(kept) is kept
