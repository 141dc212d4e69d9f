"""The field map of an Eventbrite event object."""

from datetime import date, time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion_assets.events.model import (
    Event,
    EventStatus,
    FetchWindow,
    Moment,
    Price,
    RejectedRecord,
    RejectReason,
    Venue,
)
from ingestion_assets.events.sources.eventbrite_records import read_event
from ingestion_assets.events.sources.fields import LeftOut, PageReader, read_record

WINDOW = FetchWindow(date(2026, 11, 16), date(2026, 12, 16), "America/Toronto")
RECORD: dict[str, Any] = {
    "id": "987654321",
    "name": {"text": "Atelier & soirée", "html": "Atelier &amp; soirée"},
    "summary": "Le résumé.",
    "description": {"text": "Le résumé.", "html": "<p>Le résumé,<br>sur deux lignes.</p>"},
    "url": "https://www.eventbrite.ca/e/987654321",
    "start": {"timezone": "America/Montreal", "local": "2026-11-20T18:30:00", "utc": "2026-11-20T23:30:00Z"},
    "end": {"timezone": "America/Montreal", "local": "2026-11-20T21:00:00", "utc": "2026-11-21T02:00:00Z"},
    "status": "live",
    "listed": True,
    "invite_only": False,
    "online_event": False,
    "is_free": False,
    "locale": "fr_CA",
    "series_id": "123123123",
    "logo": {"url": "https://img.example.net/cropped", "original": {"url": "https://img.example.net/whole.jpg"}},
    "organizer": {"id": "17001", "name": "Le Cercle"},
    "category": {"name": "Music"},
    "subcategory": None,
    "format": {"name": "Concert or Performance"},
    "venue": {
        "id": "29001",
        "name": "La Sala Rossa",
        "latitude": "45.5197",
        "longitude": "-73.5870",
        "address": {
            "address_1": "4848 boul. Saint-Laurent",
            "address_2": "2e étage",
            "city": "Montréal",
            "region": "QC",
            "postal_code": "H2T 1R5",
            "country": "CA",
        },
    },
    "event_sales_status": {"sales_status": "on_sale", "message_code": "tickets_available"},
    "ticket_availability": {
        "minimum_ticket_price": {"currency": "CAD", "value": 2550, "major_value": "25.50"},
        "maximum_ticket_price": {"currency": "CAD", "value": 4000, "major_value": "40.00"},
    },
}


def read(**fields: Any) -> Any:
    record = {name: value for name, value in (RECORD | fields).items() if value is not ...}
    return read_record(record, lambda found: read_event(found, default_zone="America/Toronto"))


def event(**fields: Any) -> Event:
    outcome = read(**fields)
    assert isinstance(outcome, Event), outcome
    return outcome


def at(hour: int | None, minute: int = 0, zone: str = "America/Toronto", *, assumed: bool = False) -> Moment:
    return Moment(date(2026, 11, 20), None if hour is None else time(hour, minute), zone, assumed)


def test_every_field_of_a_full_record_finds_its_place():
    assert event() == Event(
        source_id="987654321",
        title="Atelier & soirée",
        payload=RECORD,
        start=at(18, 30),
        end=at(21, 0),
        description="Le résumé,\nsur deux lignes.",
        venue=Venue(
            name="La Sala Rossa",
            address="4848 boul. Saint-Laurent, 2e étage",
            city="Montréal",
            region="QC",
            postal_code="H2T 1R5",
            country="CA",
            lat=45.5197,
            lon=-73.587,
            source_id="29001",
        ),
        url="https://www.eventbrite.ca/e/987654321",
        image_url="https://img.example.net/whole.jpg",
        price=Price(free=False, minimum=25.5, maximum=40.0, currency="CAD"),
        organizer="Le Cercle",
        categories=("Music", "Concert or Performance"),
        language="fr",
        series_id="123123123",
    )


@pytest.mark.parametrize(
    ("code", "sales", "status", "warnings"),
    [
        ("live", "tickets_available", EventStatus.SCHEDULED, ()),
        ("started", None, EventStatus.SCHEDULED, ()),
        ("ended", None, EventStatus.SCHEDULED, ()),
        ("completed", "event_cancelled", EventStatus.CANCELLED, ()),
        ("live", "event_postponed", EventStatus.POSTPONED, ()),
        ("canceled", None, EventStatus.CANCELLED, ()),
        ("unheard_of", None, EventStatus.SCHEDULED, ("unknown_status",)),
    ],
)
def test_the_sales_status_says_what_the_life_cycle_does_not(
    code: str, sales: str | None, status: EventStatus, warnings: tuple[str, ...]
):
    found = event(status=code, event_sales_status={"message_code": sales})
    assert (found.status, found.warnings) == (status, warnings)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"status": "draft"}, "draft"),
        ({"listed": False}, "private_event"),
        ({"invite_only": True}, "private_event"),
        ({"password": "x"}, "private_event"),
    ],
)
def test_what_is_not_for_everybody_is_left_out(fields: dict[str, Any], code: str):
    assert read(**fields) == LeftOut(code)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ({"timezone": "America/Toronto", "utc": "2026-11-20T23:30:00Z"}, at(18, 30)),
        ({"timezone": "America/Toronto", "local": "2026-11-20T18:30:00Z", "utc": "2026-11-20T23:30:00Z"}, at(18, 30)),
        ({"local": "2026-11-20T18:30:00"}, at(18, 30, assumed=True)),
        ({"timezone": "Nowhere/Land", "utc": "2026-11-20T23:30:00Z"}, at(18, 30, assumed=True)),
        ({"timezone": "America/Vancouver", "local": "2026-11-20T15:30:00"}, at(15, 30, "America/Vancouver")),
    ],
)
def test_starts(start: dict[str, Any], expected: Moment):
    assert event(start=start).start == expected


def test_hidden_times_are_not_published():
    found = event(hide_start_date=True)
    assert found.start == at(None)
    assert found.end == at(None)
    assert event(hide_end_date=True).end is None


def test_an_end_before_the_start_is_dropped_with_a_warning():
    found = event(end={"timezone": "America/Toronto", "local": "2026-11-20T10:00:00"})
    assert (found.end, found.warnings) == (None, ("end_before_start",))


@pytest.mark.parametrize(
    ("fields", "price"),
    [
        ({"is_free": True}, Price(free=True, minimum=0, maximum=0)),
        (
            {
                "ticket_availability": {
                    "minimum_ticket_price": {"currency": "JPY", "value": 3000, "major_value": "3000"}
                }
            },
            Price(minimum=3000, currency="JPY"),
        ),
        (
            {"ticket_availability": None, "external_ticketing": {"maximum_ticket_price": {"major_value": "12"}}},
            Price(free=False, maximum=12),
        ),
        ({"ticket_availability": None}, Price(free=False)),
        ({"ticket_availability": None, "is_free": None}, None),
        ({"is_free": None, "external_ticketing": {"is_free": True}}, Price(free=True, minimum=0, maximum=0)),
    ],
)
def test_prices_are_in_major_units(fields: dict[str, Any], price: Price | None):
    assert event(**fields).price == price


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"full_description": "<p>Tout&nbsp;!</p>"}, "Tout !"),
        ({"description": None}, "Le résumé."),
        ({"description": {"text": "Texte"}}, "Texte"),
        ({"description": {"html": "<p> </p>"}}, "Le résumé."),
        ({"description": None, "summary": None}, None),
    ],
)
def test_the_fullest_description_is_taken(fields: dict[str, Any], expected: str | None):
    assert event(**fields).description == expected


def test_titles_come_from_text_else_from_markup_else_as_they_are():
    assert event(name={"text": None, "html": "Caf&eacute; <b>noir</b>"}).title == "Café noir"
    assert event(name="Café").title == "Café"


def test_what_is_remembered_of_labels_does_not_take_one_value_for_another():
    named = [{"name": 1}, {"name": True}, {"name": "1"}, {"name": ["1"]}, {"name": {"a": 1}}, {"name": None}]
    for _ in range(2):
        found = [event(category=None, subcategory=None, format=value).categories for value in named]
        assert found == [("1",), (), ("1",), (), (), ()]


def test_a_start_is_not_mistaken_for_one_whose_time_is_hidden():
    shown, hidden = event(), event(hide_start_date=True)
    assert (shown.start, hidden.start) == (at(18, 30), at(None))
    assert event(hide_end_date=True).start == shown.start


def test_online_events_have_no_venue():
    found = event(online_event=True, venue=None)
    assert (found.online, found.venue) == (True, None)


@pytest.mark.parametrize(
    ("fields", "reason", "day"),
    [
        ({"id": ...}, RejectReason.MISSING_ID, date(2026, 11, 20)),
        ({"id": {}}, RejectReason.MISSING_ID, date(2026, 11, 20)),
        ({"name": None}, RejectReason.MISSING_TITLE, date(2026, 11, 20)),
        ({"start": None}, RejectReason.MISSING_START, None),
        ({"start": "2026-11-20"}, RejectReason.MISSING_START, None),
        ({"start": {"local": "plus tard"}}, RejectReason.INVALID_START, None),
        ({"start": {"utc": "2026-11-20T23:30:00"}}, RejectReason.INVALID_START, None),
    ],
)
def test_what_cannot_be_an_event_is_refused_with_a_reason(
    fields: dict[str, Any], reason: RejectReason, day: date | None
):
    outcome = read(**fields)
    assert isinstance(outcome, RejectedRecord)
    assert (outcome.reason, outcome.day) == (reason, day)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(raw=JSON)
def test_whatever_stands_in_place_of_a_record_the_page_is_read(raw: Any):
    reader = PageReader(WINDOW)
    reader.add(raw, lambda record: read_event(record, default_zone="America/Toronto"))
    assert reader.add(RECORD, lambda record: read_event(record, default_zone="America/Toronto")) is not None
    assert len(reader.records) + reader.outside_window + reader.left_out.total() == 2


@settings(max_examples=250, deadline=None)
@given(field=st.sampled_from([*RECORD, "external_ticketing", "full_description", "hide_start_date"]), value=JSON)
def test_any_value_in_any_field_gives_an_event_or_a_reason(field: str, value: Any):
    outcome = read(**{field: value})
    assert isinstance(outcome, Event | RejectedRecord | LeftOut)
    if isinstance(outcome, RejectedRecord):
        assert outcome.reason is not RejectReason.UNPARSABLE, "a fault that the reader should have foreseen"
