"""Readers of single values, and the reading of reset times, which many sources share."""

from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.events.model import Event, FetchWindow, RejectedRecord, RejectReason
from ingestion_assets.events.sources import fields
from ingestion_assets.events.sources.text import html_to_text
from ingestion_assets.events.sources.timing import seconds_until, server_time
from resources.http import Reply

NOW = 1_772_366_400.0  # 2026-03-01T12:00:00Z


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1772366430000", 30),
        (1772366430000, 30),
        ("1772366430", 30),
        (1772366430.5, 30.5),
        ("30", 30),
        (0, 0),
        ("2026-03-01T12:00:30Z", 30),
        ("2026-03-01T12:00:30", 30),
        ("2026-03-01T07:00:30-05:00", 30),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("2026-03-01T11:00:00Z", 0),
        ("1772366400000", 0),
        ("soon", None),
        ("", None),
        (None, None),
        (True, None),
        ("-5", None),
        ("nan", None),
        ("1e400", None),
        ({"at": 1}, None),
        (10**400, None),
    ],
)
def test_reset_times_are_read_in_every_form(value: Any, expected: float | None):
    assert seconds_until(value, now=NOW) == expected


def test_the_answer_s_own_clock_is_the_measure():
    dated = Reply(status=429, headers={"Date": "Sun, 01 Mar 2026 12:00:00 GMT"}, url="", body=b"")
    assert server_time(dated) == NOW
    undated = Reply(status=429, headers={"Date": "yesterday"}, url="", body=b"")
    assert abs(server_time(undated) - datetime.now(UTC).timestamp()) < 60


@pytest.mark.parametrize(
    ("lat", "lon", "expected"),
    [
        ("45.5", "-73.6", (45.5, -73.6)),
        (45.5, -73.6, (45.5, -73.6)),
        ("0", 0.0, (None, None)),
        (91, 0, (None, None)),
        (45.5, None, (None, None)),
        ("nan", "nan", (None, None)),
        (True, False, (None, None)),
        (10**400, 1, (None, None)),
    ],
)
def test_coordinates_are_both_there_or_neither(lat: Any, lon: Any, expected: tuple[float | None, float | None]):
    assert fields.coordinates(lat, lon) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (" https://a.example/b ", "https://a.example/b"),
        ("HTTP://A.example", "HTTP://A.example"),
        ("javascript:alert(1)", None),
        ("https://a.example/b c", None),
        ("https://a.example/\x00", None),
        ("//a.example", None),
        ("https://" + "a" * 3_000, None),
        (None, None),
    ],
)
def test_only_web_addresses_are_addresses(value: Any, expected: str | None):
    assert fields.web_url(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(" 12 ", "12"), (12, "12"), (True, None), (1.5, None), ("", None), ("a\nb", None), ("x" * 201, None), ([1], None)],
)
def test_identifiers_are_short_printable_text(value: Any, expected: str | None):
    assert fields.identifier(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("fr-ca", "fr"), ("en_US", "en"), ("FR", "fr"), ("*", None), ("français", None), (None, None)],
)
def test_the_language_of_a_locale(value: Any, expected: str | None):
    assert fields.language(value) == expected


def test_days_and_times_of_other_forms_are_none():
    assert fields.calendar_day("2026-03-01") == date(2026, 3, 1)
    assert fields.clock_time("19:30") == time(19, 30)
    for value in ("20260301", "2026-W09-7", "2026-02-30", "1026-03-01", 20260301, None):
        assert fields.calendar_day(value) is None
    for value in ("7 pm", "19", "19:30:00Z", "25:00", None):
        assert fields.clock_time(value) is None


@given(st.text(max_size=60))
def test_the_short_cut_for_plain_text_says_what_the_long_way_says(text: str):
    assert fields.plain_text(text) == html_to_text(text)


def test_the_bounds_in_utc_hold_the_window_s_days_wherever_the_venue_is():
    window = FetchWindow(date(2026, 3, 2), date(2026, 3, 9), "America/Toronto")
    begin, end = fields.utc_bounds(window)
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12", "America/Toronto", "UTC"):
        assert begin <= datetime.combine(window.start, time(), ZoneInfo(zone))
        assert datetime.combine(window.end, time(), ZoneInfo(zone)) <= end


def test_a_record_that_refers_to_itself_is_refused_and_kept_as_far_as_it_goes():
    endless: dict[str, Any] = {"id": "x"}
    endless["self"] = endless
    outcome = fields.read_record(endless, lambda record: fields.LeftOut("never"))
    assert isinstance(outcome, fields.RejectedRecord)
    assert outcome.reason == "too_deep"
    assert "beginning" in outcome.payload


def test_what_is_refused_by_others_stays_in_step_with_the_payloads():
    # A page of which one list was longer than the other failed the whole import.
    def read(raw: dict[str, Any]) -> Event:
        return Event(source_id=raw["id"], title="x", payload=raw)

    reader = fields.PageReader(FetchWindow(date(2026, 3, 2), date(2026, 3, 9), "America/Toronto"))
    refused = RejectedRecord(reason=RejectReason.UNPARSABLE, detail="no details", payload=None)
    reader.refuse(refused)
    reader.add({"id": "a"}, read)
    reader.refuse(refused, refused)
    reader.add({"id": "b"}, read)
    page = reader.page()
    assert [record.source_id for record in page.records] == [None, "a", None, None, "b"]
    assert page.written == [None, b'{"id":"a"}', None, None, b'{"id":"b"}']
