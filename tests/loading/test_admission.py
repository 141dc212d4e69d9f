"""A record that cannot be stored is one rejected record with its reason; its neighbours are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, time
from typing import Any

import pytest

from ingestion_assets.events import loading
from ingestion_assets.events.admission import MAX_ID_BYTES, MAX_PAYLOAD_BYTES
from ingestion_assets.events.hashing import Canonicaliser
from ingestion_assets.events.model import Event, Moment, RejectReason
from tests.loading.imports import W1, W2, Importer, counts, event, rejected


def _nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value


def _starts(day: date, clock: time | None, zone: str) -> Event:
    return replace(event("bad"), start=Moment(day, clock, zone))


R = RejectReason
UNSTORABLE: dict[str, tuple[Event, RejectReason]] = {
    "no id": (event(""), R.MISSING_ID),
    "no title": (event("bad", title=""), R.MISSING_TITLE),
    "an id with a NUL": (event("b\x00d"), R.UNSTORABLE_TEXT),
    "an id with half a surrogate pair": (event("b\ud800d"), R.UNSTORABLE_TEXT),
    "an id that no index holds": (event("é" * (MAX_ID_BYTES // 2 + 1)), R.INVALID_VALUE),
    "a title with a NUL": (event("bad", title="a\x00b"), R.UNSTORABLE_TEXT),
    "a title with half a surrogate pair": (event("bad", title="a\udc00b"), R.UNSTORABLE_TEXT),
    "a description with a NUL": (replace(event("bad"), description="a\x00b"), R.UNSTORABLE_TEXT),
    "a description with half a surrogate pair": (replace(event("bad"), description="a\ud83db"), R.UNSTORABLE_TEXT),
    "a NUL in the payload": (event("bad", text="a\x00b"), R.UNSTORABLE_TEXT),
    "a NUL deep in the payload": (event("bad", a=[{"b": ["c\x00"]}]), R.UNSTORABLE_TEXT),
    "a NUL in a key of the payload": (event("bad", a={"b\x00": 1}), R.UNSTORABLE_TEXT),
    "half a surrogate pair in the payload": (event("bad", text="\ud83d"), R.UNSTORABLE_TEXT),
    "a number that JSON's readers cannot hold": (event("bad", n=10**30), R.UNSTORABLE_TEXT),
    "what JSON has no word for": (event("bad", n={1, 2}), R.UNSTORABLE_TEXT),
    "a payload over the limit": (event("bad", text="x" * MAX_PAYLOAD_BYTES), R.TOO_LARGE),
    "a payload nested too deeply": (event("bad", text=_nested(300)), R.TOO_DEEP),
    "a payload nested absurdly": (event("bad", text=_nested(20_000)), R.TOO_DEEP),
    "an instant after the end of time": (_starts(date(9999, 12, 31), time(23, 59), "America/Toronto"), R.INVALID_START),
    "an instant before its beginning": (_starts(date(1, 1, 1), time(0), "Asia/Tokyo"), R.INVALID_START),
    "a zone that nobody knows": (_starts(W1, time(20), "America/Atlantis"), R.INVALID_START),
    "a zone that is a path": (_starts(W1, time(20), "../etc/passwd"), R.INVALID_START),
}


@pytest.mark.parametrize("case", UNSTORABLE)
def test_what_cannot_be_stored_is_rejected_and_its_neighbours_are_kept(case: str, importer: Importer) -> None:
    bad, reason = UNSTORABLE[case]
    result = importer([event("a"), bad, event("b", W2), rejected("r", reason=R.NOT_AN_OBJECT)])
    assert counts(result) == (2, 0, 0, 2)
    assert result.counts.by_reason == {reason.value: 1, "not_an_object": 1}
    assert sorted(importer.rows()) == ["a", "b"]
    kept = next(row for row in importer.rejections() if row["reason"] == reason.value)
    assert kept["detail"]
    assert kept["payload"] is not None
    assert counts(importer([event("a"), bad, event("b", W2)])) == (0, 0, 2, 1)


STORABLE: dict[str, Event] = {
    "an id as long as is allowed": event("é" * (MAX_ID_BYTES // 2)),
    "the six characters that spell a NUL": event("a", text="\\u0000 is how JSON writes it"),
    "every plane of Unicode": event("a", text="é 東京 🎷 \U0010ffff \x01 \x7f \u2028", title="🎷\u202e"),
    "numbers at the edge": event("a", n=[2**63 - 1, -(2**63), 5e-324, 0.1, -0.0]),
    "a payload just under the limit": event("a", text="x" * (MAX_PAYLOAD_BYTES - 100)),
    "nested as deep as is read": event("a", text=_nested(200)),
    "SQL in its id and title": event("'; DROP TABLE raw_events; --", title="%s %(a)s \\ \t\n"),
    "the last day of the calendar without a time": _starts(date(9999, 12, 31), None, "America/Toronto"),
    "the first": _starts(date(1, 1, 1), None, "America/Toronto"),
    "an hour that the clock skips": _starts(date(2027, 3, 14), time(2, 30), "America/Toronto"),
}


@pytest.mark.parametrize("case", STORABLE)
def test_what_can_be_stored_comes_back_as_it_was(case: str, importer: Importer) -> None:
    original = STORABLE[case]
    assert counts(importer([original])) == (1, 0, 0, 0)
    assert counts(importer([original])) == (0, 0, 1, 0)
    [row] = importer.rows().values()
    assert (row["source_id"], row["title"]) == (original.source_id, original.title)
    assert row["payload"] == original.payload


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "plain text",
        {"a": "\x00", "b\x00": "\ud800"},
        {"n": 10**40, "s": {1}, "f": float("nan")},
        _nested(20_000),
        {"text": "x" * (3 * MAX_PAYLOAD_BYTES)},
        object,
        b"\xff\xfe",
    ],
    ids=["nothing", "text", "unstorable text", "not JSON", "deep", "large", "a class", "bytes"],
)
def test_the_payload_of_a_rejected_record_is_kept_as_well_as_can_be(payload: Any, importer: Importer) -> None:
    bad = rejected("x\x00\ud800" * 500, detail="wrong: \x00 \ud800 " * 500, payload=payload)
    assert counts(importer([event("a"), bad])) == (1, 0, 0, 1)
    [row] = importer.rejections()
    assert len(row["detail"]) <= 2000
    assert len(row["source_id"]) <= MAX_ID_BYTES


def _refuse(importer: Importer, condition: str) -> None:
    """Make PostgreSQL refuse some rows, as it would for a limit that we do not know of."""
    with importer.database.transaction() as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"  # type: ignore[arg-type]
            f" IF {condition} THEN RAISE EXCEPTION 'value out of some range' USING ERRCODE = '22003'; END IF;"
            " RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON raw_events FOR EACH ROW EXECUTE FUNCTION refuse()")


@pytest.mark.parametrize(
    ("size", "bad"),
    [(1, {0}), (2, {1}), (7, {3}), (64, {0, 63}), (64, {10, 11, 12}), (9, set(range(9)))],
)
def test_a_record_that_the_database_refuses_is_found_and_its_batch_kept(
    size: int, bad: set[int], fresh_importer: Importer
) -> None:
    _refuse(fresh_importer, "NEW.source_id LIKE 'bad%'")
    fresh_importer([event("kept-before", W2)])
    records = [event(f"bad{n}" if n in bad else f"good{n}", W2) for n in range(size)]
    result = fresh_importer([*records, rejected("r", W2), event("kept-before", W2)])
    assert counts(result) == (size - len(bad), 0, 1, len(bad) + 1)
    assert result.by_week[W2].fetched == size + 2
    refused = [row for row in fresh_importer.rejections() if row["reason"] == "unparsable"]
    assert {row["source_id"] for row in refused} == {f"bad{n}" for n in bad}
    assert all("PostgreSQL refused the record: value out of some range" in row["detail"] for row in refused)


def test_a_refused_change_keeps_what_the_event_said_before(fresh_importer: Importer) -> None:
    fresh_importer([event("a"), event("b")])
    _refuse(fresh_importer, "NEW.payload ->> 'text' = 'boom'")
    result = fresh_importer([event("a", text="boom"), event("b", text="fine")])
    assert counts(result) == (0, 1, 0, 1)
    assert result.withdrawal.missing == 0
    assert fresh_importer.rows()["a"]["payload"] == event("a").payload


def test_a_refusal_inside_a_batch_of_repeats_still_adds_up(
    fresh_importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refuse(fresh_importer, "NEW.source_id LIKE 'bad%'")
    for size in (2, 5, 2000):
        monkeypatch.setattr(loading, "BATCH_RECORDS", size)
        result = fresh_importer(
            [event("a"), event("bad"), event("a"), event("b"), event("bad"), event("a"), rejected()]
        )
        assert result.counts.fetched == 7
        assert result.counts.errors == 3


def test_a_fault_of_our_own_diagnosis_is_raised_and_not_halved_for_ever(fresh_importer: Importer) -> None:
    with fresh_importer.database.transaction() as connection:
        connection.execute("ALTER TABLE rejected_records ADD CONSTRAINT odd CHECK (reason <> 'missing_title')")
    with pytest.raises(Exception, match="odd"):
        fresh_importer([event("a"), rejected("x"), rejected("y"), event("b")])


@pytest.mark.parametrize("digest", [Canonicaliser(())])
def test_the_hash_does_not_see_the_order_of_keys(digest: Callable[[Any], bytes]) -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})
    assert digest({"a": 1}) != digest({"a": "1"})
    assert digest({"a": None}) != digest({})


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("a", {"a": 1, "b": 2}, {"b": 2}),
        ("a.b", {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}),
        ("a.*.b", {"a": [{"b": 1}, {"b": 2, "c": 3}, 4]}, {"a": [{}, {"c": 3}, 4]}),
        ("*", {"a": 1}, {"a": 1}),
        ("a.b.c", {"a": {"b": 7}}, {"a": {"b": 7}}),
        ("a.*", {"a": {"b": 7}}, {"a": {"b": 7}}),
        ("nothing.here", {"a": 1}, {"a": 1}),
    ],
)
def test_volatile_paths_are_left_out_and_the_payload_is_not_touched(path: str, before: Any, after: Any) -> None:
    import copy

    original = copy.deepcopy(before)
    assert Canonicaliser((path,))(before) == Canonicaliser(())(after)
    assert before == original
