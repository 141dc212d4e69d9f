from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.http import BodyError, NestingError, Reply, decode_text


def reply(body: bytes, content_type: str = "application/json") -> Reply:
    return Reply(status=200, headers={"Content-Type": content_type}, url="https://x.example/", body=body)


@pytest.mark.parametrize(
    ("body", "header", "text", "encoding", "repaired"),
    [
        ("Été à Montréal".encode(), None, "Été à Montréal", "utf-8-sig", 0),
        ("Été".encode(), "iso-8859-1", "Été", "utf-8-sig", 0),
        ("Été".encode("utf-8-sig"), "windows-1252", "Été", "utf-8-sig", 0),
        ("Été".encode("utf-16"), None, "Été", "utf-16", 0),
        ("Été œuvre".encode("cp1252"), None, "Été œuvre", "cp1252", 0),
        ("Été “œ”".encode("cp1252"), "ISO-8859-1", "Été “œ”", "cp1252", 0),
        ("Żółć".encode("iso-8859-2"), "iso-8859-2", "Żółć", "iso8859-2", 0),
        ("日本".encode("shift_jis"), '"Shift_JIS"', "日本", "shift_jis", 0),
        (b"caf\xe9", "utf-8", "café", "cp1252", 0),
        (b"\x81\xe9\x8d", None, "\ufffdé\ufffd", "cp1252", 2),
        ("déjà \ufffd perdu".encode(), None, "déjà \ufffd perdu", "utf-8-sig", 1),
        (b"\xe9\\u0041", "unicode_escape", "é\\u0041", "cp1252", 0),
        (b"\xe9", "rot13", "é", "cp1252", 0),
        (b"\xe9", "zip", "é", "cp1252", 0),
        (b"\xe9", "no-such-charset\0", "é", "cp1252", 0),
        (b"", None, "", "utf-8-sig", 0),
    ],
)
def test_bytes_become_text_and_repairs_are_counted(
    body: bytes, header: str | None, text: str, encoding: str, repaired: int
) -> None:
    decoded = decode_text(body, header)
    assert (decoded.text, decoded.encoding, decoded.repaired) == (text, encoding, repaired)


@given(
    st.binary(max_size=60), st.one_of(st.none(), st.text(max_size=12), st.sampled_from(["utf-7", "idna", "hz", "big5"]))
)
def test_any_bytes_and_any_charset_become_text(body: bytes, header: str | None) -> None:
    decoded = decode_text(body, header)
    assert decoded.repaired == decoded.text.count("\ufffd")
    decoded.text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("header", "charset", "media"),
    [
        ("text/html; charset=UTF-8", "UTF-8", "text/html"),
        ('Text/HTML;a=b; Charset="iso-8859-1"', "iso-8859-1", "text/html"),
        ("text/html", None, "text/html"),
        ("text/html; charset=", None, "text/html"),
        ("", None, ""),
    ],
)
def test_the_content_type_is_read(header: str, charset: str | None, media: str) -> None:
    assert (reply(b"", header).charset, reply(b"", header).content_type) == (charset, media)


@pytest.mark.parametrize(
    ("body", "value", "repaired"),
    [
        (b'{"a": [1, 2.5, "\xc3\xa9", null, true]}', {"a": [1, 2.5, "é", None, True]}, 0),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}, 0),
        (b"[NaN, 1]", [None, 1], 1),
        (b"[-Infinity, 1e999, 2]", [None, None, 2], 2),
        (b'["\\ud800x", "\\ud83d\\ude00"]', ["\ufffdx", "😀"], 1),
        (b'{"k\\udc00": {"a": ["\\udfff\\udfff"]}}', {"k\ufffd": {"a": ["\ufffd\ufffd"]}}, 3),
        (b'["caf\xe9"]', ["café"], 0),
        (b'["\x81"]', ["\ufffd"], 1),
        (b"[" + b"1" * 100_000 + b", 7]", [None, 7], 1),
        (b"[18446744073709551615, -9223372036854775808]", [2**64 - 1, -(2**63)], 0),
        (b"[18446744073709551616, NaN]", [float(2**64), None], 1),
        ('["é"]'.encode("utf-16"), ["é"], 0),
    ],
)  # fmt: skip
def test_json_is_parsed_and_one_bad_value_does_not_cost_the_page(body: bytes, value: Any, repaired: int) -> None:
    it = reply(body)
    assert it.json() == value
    assert it.repaired == repaired
    assert it.json() is it.json()


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1} x', b"<html>", b"{'a': 1}", b"\xff\xfe", b"[1,]"])
def test_what_is_not_json_is_a_body_error(body: bytes) -> None:
    with pytest.raises(BodyError, match=r"https://x\.example/ did not answer with JSON") as caught:
        reply(body).json()
    assert caught.value.__context__ is None


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 5_000 + b"]" * 5_000])
def test_json_deeper_than_parsers_follow_is_an_error_of_its_own(body: bytes) -> None:
    with pytest.raises(NestingError):
        reply(body).json()


_LEAVES = (
    st.none() | st.booleans() | st.text(max_size=5) | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
)


@given(
    st.recursive(
        _LEAVES.filter(lambda leaf: not isinstance(leaf, float) or math.isfinite(leaf)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )
)
def test_both_parsers_agree_on_good_values(value: Any) -> None:
    strict = reply(json.dumps(value).encode()).json()
    tolerant = reply(json.dumps([value, float("nan")]).encode()).json()
    assert [strict, None] == tolerant
    assert strict == value


def test_a_reply_survives_pickling_and_its_repr_is_short() -> None:
    it = reply(b'{"a": 1}')
    again = pickle.loads(pickle.dumps(it))
    assert (again.json(), again.headers["content-TYPE"], again.url) == ({"a": 1}, "application/json", it.url)
    assert len(repr(reply(b"x" * 10_000))) < 120


def test_repeated_headers_are_joined() -> None:
    it = Reply(status=200, headers=[("Vary", "a"), ("vary", "b")], url="", body=b"")
    assert (it.headers["VARY"], "Vary" in it.headers, it.headers.get("x"), len(it.headers)) == ("a, b", True, None, 1)


def test_importing_the_package_loads_no_http_library() -> None:
    heavy = ["httpx", "httpcore", "tenacity", "orjson"]
    code = f"import sys, resources.http; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
