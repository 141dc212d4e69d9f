"""The field map of a Ticketmaster record, on payloads made by hand from the documentation."""

import copy
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
    Precision,
    Price,
    RejectedRecord,
    RejectReason,
    Venue,
)
from ingestion_assets.events.sources.fields import LeftOut, PageReader, read_record
from ingestion_assets.events.sources.ticketmaster_records import read_event

WINDOW = FetchWindow(date(2026, 11, 16), date(2026, 12, 16), "America/Toronto")
RECORD: dict[str, Any] = {
    "name": "Les Cowboys Fringants",
    "id": "1AvZZbGGkd2Q1Kc",
    "test": False,
    "url": "https://www.ticketmaster.ca/event/31005F",
    "locale": "fr-ca",
    "images": [
        {"ratio": "16_9", "url": "https://s1.example.net/stock.jpg", "width": 4096, "fallback": True},
        {"ratio": "16_9", "url": "https://s1.example.net/small.jpg", "width": 640, "fallback": False},
        {"ratio": "16_9", "url": "https://s1.example.net/large.jpg", "width": 2048, "fallback": False},
        {"ratio": "3_2", "url": "https://s1.example.net/other.jpg", "width": 3000, "fallback": False},
    ],
    "dates": {
        "start": {"localDate": "2026-11-20", "localTime": "19:30:00", "dateTime": "2026-11-21T00:30:00Z"},
        "end": {"localDate": "2026-11-20", "localTime": "22:30:00", "approximate": False},
        "timezone": "America/Montreal",
        "status": {"code": "onsale"},
    },
    "classifications": [
        {"primary": False, "segment": {"name": "Sports"}},
        {
            "primary": True,
            "segment": {"name": "Music"},
            "genre": {"name": "Rock"},
            "subGenre": {"name": "Undefined"},
            "type": {"name": "Other"},
        },
    ],
    "promoter": {"name": "evenko"},
    "info": "Portes&nbsp;: 18 h 30.",
    "pleaseNote": "Aucun remboursement.",
    "priceRanges": [
        {"type": "standard including fees", "currency": "CAD", "min": 60.0, "max": 150.0},
        {"type": "standard", "currency": "CAD", "min": 50.5, "max": 120.0},
    ],
    "ageRestrictions": {"legalAgeEnforced": True},
    "_embedded": {
        "venues": [
            {
                "id": "KovZpZA",
                "name": "Centre Bell",
                "address": {"line1": "1909, avenue des Canadiens", "line2": "Porte 3"},
                "city": {"name": "Montréal"},
                "state": {"name": "Quebec", "stateCode": "QC"},
                "country": {"countryCode": "CA"},
                "postalCode": "H3B 5E8",
                "location": {"longitude": "-73.5693", "latitude": "45.4961"},
                "timezone": "America/Montreal",
            }
        ],
        "attractions": [{"name": "Les Cowboys Fringants"}, {"name": "Invité"}],
    },
}


def changed(**paths: Any) -> dict[str, Any]:
    """The record with values put at `__`-separated paths; `...` removes."""
    record = copy.deepcopy(RECORD)
    for path, value in paths.items():
        node, *_ = [record]
        *way, last = path.split("__")
        for step in way:
            node = node[int(step[1:])] if step.startswith("_") and step[1:].isdigit() else node[step]
        if value is ...:
            del node[last]
        else:
            node[last] = value
    return record


def read(**paths: Any) -> Any:
    return read_record(changed(**paths), lambda record: read_event(record, default_zone="America/Toronto"))


def event(**paths: Any) -> Event:
    outcome = read(**paths)
    assert isinstance(outcome, Event), outcome
    return outcome


def start(**fields: Any) -> Event:
    return event(dates={"start": fields, "timezone": "America/Toronto"})


def test_every_field_of_a_full_record_finds_its_place():
    assert event() == Event(
        source_id="1AvZZbGGkd2Q1Kc",
        title="Les Cowboys Fringants",
        payload=RECORD,
        start=Moment(date(2026, 11, 20), time(19, 30), "America/Toronto"),
        end=Moment(date(2026, 11, 20), time(22, 30), "America/Toronto"),
        status=EventStatus.SCHEDULED,
        description="Portes : 18 h 30.\n\nAucun remboursement.",
        venue=Venue(
            name="Centre Bell",
            address="1909, avenue des Canadiens, Porte 3",
            city="Montréal",
            region="QC",
            postal_code="H3B 5E8",
            country="CA",
            lat=45.4961,
            lon=-73.5693,
            source_id="KovZpZA",
        ),
        url="https://www.ticketmaster.ca/event/31005F",
        image_url="https://s1.example.net/large.jpg",
        price=Price(free=False, minimum=50.5, maximum=120.0, currency="CAD"),
        organizer="evenko",
        performers=("Les Cowboys Fringants", "Invité"),
        categories=("Music", "Rock"),
        audience=("legal age",),
        language="fr",
    )


def test_a_record_with_no_more_than_an_id_a_name_and_a_date_is_an_event():
    record = {"id": "x", "name": "y", "dates": {"start": {"localDate": "2026-11-20"}}}
    outcome = read_event(record, default_zone="America/Toronto")
    assert isinstance(outcome, Event)
    assert outcome.start == Moment(date(2026, 11, 20), None, "America/Toronto", zone_assumed=True)
    assert outcome.precision is Precision.DATE
    assert outcome.warnings == ("zone_assumed",)
    assert (outcome.venue, outcome.price, outcome.image_url, outcome.organizer) == (None, None, None, None)


@pytest.mark.parametrize("flag", ["dateTBA", "dateTBD"])
def test_a_date_to_be_announced_is_no_date_even_beside_a_placeholder(flag: str):
    found = start(localDate="2026-12-31", **{flag: True})
    assert found.start is None
    assert found.precision is Precision.TBA


@pytest.mark.parametrize("flag", ["timeTBA", "noSpecificTime"])
def test_a_time_to_be_announced_leaves_the_day(flag: str):
    found = start(localDate="2026-11-20", localTime="03:30:00", **{flag: True})
    assert found.start == Moment(date(2026, 11, 20), None, "America/Toronto")


def test_the_instant_stands_in_for_local_fields_that_are_missing():
    assert start(dateTime="2026-11-21T00:30:00Z").start == Moment(date(2026, 11, 20), time(19, 30), "America/Toronto")
    assert start(localDate="2026-11-20", dateTime="2026-11-21T00:30:00Z").start == Moment(
        date(2026, 11, 20), time(19, 30), "America/Toronto"
    )


def test_the_zone_is_the_record_s_then_the_venue_s_then_assumed():
    pacific = changed(_embedded__venues=[{"timezone": "America/Vancouver"}], dates__timezone=...)
    assert read_event(pacific, default_zone="America/Toronto").start.zone == "America/Vancouver"
    nowhere = event(_embedded__venues=[{"timezone": "Mars/Olympus"}], dates__timezone="")
    assert nowhere.start.zone == "America/Toronto"
    assert nowhere.start.zone_assumed
    assert nowhere.warnings == ("zone_assumed",)


@pytest.mark.parametrize(
    ("code", "status", "warnings"),
    [
        ("onsale", EventStatus.SCHEDULED, ()),
        ("offsale", EventStatus.SCHEDULED, ()),
        ("cancelled", EventStatus.CANCELLED, ()),
        ("canceled", EventStatus.CANCELLED, ()),
        ("Canceled", EventStatus.CANCELLED, ()),
        ("postponed", EventStatus.POSTPONED, ()),
        ("rescheduled", EventStatus.RESCHEDULED, ()),
        ("brandnew", EventStatus.SCHEDULED, ("unknown_status",)),
        (None, EventStatus.SCHEDULED, ()),
    ],
)
def test_status_codes(code: str | None, status: EventStatus, warnings: tuple[str, ...]):
    found = event(dates__status={"code": code})
    assert (found.status, found.warnings) == (status, warnings)


def test_a_test_event_is_left_out():
    assert read(test=True) == LeftOut("test_event")


def test_a_place_stands_in_for_a_venue():
    place = {"city": {"name": "Laval"}, "location": {"latitude": "0", "longitude": "0"}}
    assert event(_embedded__venues=..., place=place).venue == Venue(city="Laval")


def test_an_end_before_the_start_is_dropped_with_a_warning():
    found = event(dates__end={"localDate": "2026-11-19"})
    assert found.end is None
    assert found.warnings == ("end_before_start",)


def test_an_approximate_end_keeps_its_day_only():
    assert event(dates__end={"dateTime": "2026-11-21T03:00:00Z", "approximate": True}).end == Moment(
        date(2026, 11, 20), None, "America/Toronto"
    )


@pytest.mark.parametrize(
    ("ranges", "price"),
    [
        ([], None),
        ([{"type": "standard"}], None),
        ([{"min": 0, "max": 0, "currency": "cad"}], Price(free=True, minimum=0, maximum=0, currency="CAD")),
        ([{"type": "vip", "min": "12.5"}], Price(free=None, minimum=12.5)),
        ([{"min": 5, "max": True}], Price(free=None, minimum=5)),
    ],
)  # fmt: skip
def test_prices(ranges: list[Any], price: Price | None):
    assert event(priceRanges=ranges).price == price


@pytest.mark.parametrize(
    ("paths", "reason", "day"),
    [
        ({"id": ...}, RejectReason.MISSING_ID, date(2026, 11, 20)),
        ({"id": ["x"]}, RejectReason.MISSING_ID, date(2026, 11, 20)),
        ({"id": "  "}, RejectReason.MISSING_ID, date(2026, 11, 20)),
        ({"name": "\u200b \n"}, RejectReason.MISSING_TITLE, date(2026, 11, 20)),
        ({"dates": ...}, RejectReason.MISSING_START, None),
        ({"dates__start": {}}, RejectReason.MISSING_START, None),
        ({"dates__start": {"localDate": "20/11/2026"}}, RejectReason.INVALID_START, None),
        ({"dates__start": {"localDate": "0001-01-01"}}, RejectReason.INVALID_START, None),
        ({"dates__start": {"localDate": "2026-11-20", "localTime": "7 pm"}}, RejectReason.INVALID_START, date(2026, 11, 20)),
        ({"dates__start": {"dateTime": "soon"}}, RejectReason.INVALID_START, None),
        ({"info": "x" * 1_100_000}, RejectReason.TOO_LARGE, None),
    ],
)  # fmt: skip
def test_what_cannot_be_an_event_is_refused_with_a_reason(
    paths: dict[str, Any], reason: RejectReason, day: date | None
):
    outcome = read(**paths)
    assert isinstance(outcome, RejectedRecord)
    assert (outcome.reason, outcome.day) == (reason, day)


def test_a_nul_in_a_text_is_repaired_not_refused():
    found = event(name="A\x00B", info="x\x00y")
    assert found.title == "AB"
    assert "\x00" not in repr(found.payload)


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
    reader.add(RECORD, lambda record: read_event(record, default_zone="America/Toronto"))
    assert [record for record in reader.records if isinstance(record, Event)][-1].title == "Les Cowboys Fringants"
    assert len(reader.records) + reader.outside_window + reader.left_out.total() == 2


PATHS = [
    "name", "id", "dates", "dates__start", "dates__start__localDate", "dates__start__localTime", "dates__start__dateTime",
    "dates__end", "dates__end__localDate", "dates__timezone", "dates__status", "classifications", "promoter", "info",
    "priceRanges", "images", "ageRestrictions", "_embedded", "_embedded__venues", "_embedded__attractions", "url", "locale",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(path=st.sampled_from(PATHS), value=JSON)
def test_any_value_in_any_field_gives_an_event_or_a_reason(path: str, value: Any):
    outcome = read(**{path: value})
    assert isinstance(outcome, Event | RejectedRecord | LeftOut)
    if isinstance(outcome, RejectedRecord):
        assert outcome.reason is not RejectReason.UNPARSABLE, "a fault that the reader should have foreseen"
