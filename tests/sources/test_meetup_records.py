"""The field map of a Meetup event, in all the spellings that its API has had."""

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
from ingestion_assets.events.sources.fields import LeftOut, PageReader, read_record
from ingestion_assets.events.sources.meetup_records import read_event

WINDOW = FetchWindow(date(2026, 11, 16), date(2026, 12, 16), "America/Toronto")
PLACE = {
    "id": "27001",
    "name": "Notman House",
    "address": "51 Sherbrooke O.",
    "city": "Montréal",
    "state": "QC",
    "postalCode": "H2X 1X2",
    "country": "ca",
    "lat": 45.5106,
    "lon": -73.5703,
    "venueType": "",
}
SCREEN = {"id": "26906060", "name": "Online event", "venueType": "online"}
NODE: dict[str, Any] = {
    "id": "mfuaiakmcxuzjsd",
    "token": "306527183",
    "title": "Montréal-Python 120",
    "description": "Présentations.\n\nPizza &amp; **réseautage**.",
    "eventUrl": "https://www.meetup.com/montreal-python/events/306527183/",
    "status": "ACTIVE",
    "dateTime": "2026-11-20T18:30-05:00",
    "endTime": "2026-11-20T21:00:00-05:00",
    "duration": "PT2H",
    "eventType": "PHYSICAL",
    "venues": [PLACE],
    "featuredEventPhoto": {"id": "510000000", "baseUrl": "https://images.example.net/classic-events/"},
    "feeSettings": {"required": True, "amount": 10, "currency": "CAD"},
    "topics": {"edges": [{"node": {"name": "Python"}}, {"node": None}, {"node": {"name": "Web"}}]},
    "group": {"id": "1", "name": "Montréal-Python", "urlname": "montreal-python", "timezone": "America/Montreal"},
}


def read(**fields: Any) -> Any:
    node = {name: value for name, value in (NODE | fields).items() if value is not ...}
    return read_record(node, lambda record: read_event(record, default_zone="America/Toronto"))


def event(**fields: Any) -> Event:
    outcome = read(**fields)
    assert isinstance(outcome, Event), outcome
    return outcome


def at(hour: int, minute: int, zone: str = "America/Toronto", *, assumed: bool = False, day: int = 20) -> Moment:
    return Moment(date(2026, 11, day), time(hour, minute), zone, assumed)


def test_every_field_of_a_full_node_finds_its_place():
    assert event() == Event(
        source_id="306527183",
        title="Montréal-Python 120",
        payload=NODE,
        start=at(18, 30),
        end=at(21, 0),
        description="Présentations.\n\nPizza & **réseautage**.",
        venue=Venue(
            name="Notman House",
            address="51 Sherbrooke O.",
            city="Montréal",
            region="QC",
            postal_code="H2X 1X2",
            country="CA",
            lat=45.5106,
            lon=-73.5703,
            source_id="27001",
        ),
        url="https://www.meetup.com/montreal-python/events/306527183/",
        image_url="https://images.example.net/classic-events/510000000/676x380.jpg",
        price=Price(free=False, minimum=10, maximum=10, currency="CAD"),
        organizer="Montréal-Python",
        categories=("Python", "Web"),
    )


@pytest.mark.parametrize(
    ("written", "group_zone", "expected"),
    [
        ("2026-11-20T18:30-05:00", "America/Toronto", at(18, 30)),
        ("2026-11-20T18:30:00-05:00", "America/Toronto", at(18, 30)),
        ("2026-11-20T18:30:00.000-05:00", "America/Toronto", at(18, 30)),
        ("2026-11-20T23:30:00Z", "America/Toronto", at(18, 30)),
        ("2026-11-20T18:30-05:00[US/Eastern]", None, at(18, 30, "America/New_York")),
        ("2026-11-20T18:30-05:00[US/Eastern]", "America/Toronto", at(18, 30, "America/New_York")),
        (1795217400000, "America/Toronto", at(18, 30)),
        (1795217400, "America/Toronto", at(18, 30)),
        ("1795217400000", "America/Toronto", at(18, 30)),
        ("2026-11-20T18:30-05:00", None, at(18, 30, assumed=True)),
        ("2026-11-20T23:30:00Z", None, at(18, 30, assumed=True)),
        ("2026-11-20T18:30", "America/Toronto", at(18, 30)),
        ("2026-11-20T18:30", None, at(18, 30, assumed=True)),
        ("2026-11-20T15:30-08:00", "America/Vancouver", at(15, 30, "America/Vancouver")),
        # The event is elsewhere than its group: its offset says how late it is there.
        ("2026-11-20T15:30-08:00", "America/Toronto", at(15, 30, "Etc/GMT+8", assumed=True)),
        ("2026-11-21T04:30+05:00", None, at(4, 30, "Etc/GMT-5", assumed=True, day=21)),
        ("2026-11-21T05:00+05:30", "America/Toronto", at(18, 30, assumed=True)),
    ],
)
def test_times_are_read_in_every_spelling_seen(written: Any, group_zone: str | None, expected: Moment):
    found = event(dateTime=written, endTime=None, duration=None, group={"timezone": group_zone})
    assert found.start == expected
    assert found.start.utc == at(18, 30).utc
    assert ("zone_assumed" in found.warnings) is expected.zone_assumed


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("PT2H", at(20, 30)),
        ("PT2H30M", at(21, 0)),
        ("PT90M", at(20, 0)),
        ("P1DT1H", at(19, 30, day=21)),
        (7_200_000, at(20, 30)),
        ("2 heures", None),
        ("P", None),
        (None, None),
        (-5, None),
        (10**18, None),
    ],
)
def test_without_an_end_the_duration_gives_it(duration: Any, expected: Moment | None):
    assert event(endTime=None, duration=duration).end == expected


def test_an_end_before_the_start_is_dropped_with_a_warning():
    found = event(endTime="2026-11-20T10:00-05:00")
    assert (found.end, found.warnings) == (None, ("end_before_start",))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ACTIVE", EventStatus.SCHEDULED),
        ("PAST", EventStatus.SCHEDULED),
        ("AUTOSCHED", EventStatus.SCHEDULED),
        ("CANCELLED", EventStatus.CANCELLED),
        ("cancelled", EventStatus.CANCELLED),
        ("CANCELLED_PERM", EventStatus.CANCELLED),
        ("AUTOSCHED_CANCELLED", EventStatus.CANCELLED),
        (None, EventStatus.SCHEDULED),
    ],
)
def test_status_codes(code: str | None, status: EventStatus):
    assert event(status=code).status is status


@pytest.mark.parametrize("code", ["DRAFT", "TEMPLATE", "PROPOSED", "PENDING", "BLOCKED", "AUTOSCHED_DRAFT"])
def test_what_is_not_published_is_left_out(code: str):
    assert read(status=code) == LeftOut("unpublished")


@pytest.mark.parametrize(
    ("fields", "online", "name"),
    [
        ({"eventType": "ONLINE", "venues": [SCREEN]}, True, None),
        ({"eventType": "online", "venues": []}, True, None),
        ({"eventType": "HYBRID", "venues": [SCREEN, PLACE]}, True, "Notman House"),
        ({"eventType": None, "venues": [SCREEN]}, True, None),
        ({"eventType": None, "venues": None, "isOnline": True}, True, None),
        ({"eventType": "PHYSICAL", "venues": []}, False, None),
        ({"venues": ..., "venue": PLACE | {"lon": None, "lng": -73.5703}}, False, "Notman House"),
    ],
)
def test_where_and_whether_online(fields: dict[str, Any], online: bool, name: str | None):
    found = event(**fields)
    assert found.online is online
    assert (found.venue.name if found.venue else None) == name


def test_the_older_spellings_of_a_picture_are_read():
    assert (
        event(featuredEventPhoto=None, displayPhoto={"standardUrl": "https://e.net/p.jpg"}).image_url
        == "https://e.net/p.jpg"
    )
    assert event(featuredEventPhoto=None, imageUrl="https://e.net/q.jpg").image_url == "https://e.net/q.jpg"
    assert event(featuredEventPhoto={"baseUrl": "https://e.net/"}).image_url is None


def test_no_fee_means_that_the_price_is_not_known():
    assert event(feeSettings=None).price is None
    assert event(feeSettings={"amount": 0}).price == Price(free=True, minimum=0, maximum=0)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": ..., "token": ...}, RejectReason.MISSING_ID),
        ({"title": None}, RejectReason.MISSING_TITLE),
        ({"dateTime": ...}, RejectReason.MISSING_START),
        ({"dateTime": ""}, RejectReason.MISSING_START),
        ({"dateTime": "demain"}, RejectReason.INVALID_START),
        ({"dateTime": "9999-12-31T23:59Z"}, RejectReason.INVALID_START),
        ({"dateTime": 1e300}, RejectReason.INVALID_START),
        ({"dateTime": True}, RejectReason.INVALID_START),
    ],
)
def test_what_cannot_be_an_event_is_refused_with_a_reason(fields: dict[str, Any], reason: RejectReason):
    outcome = read(**fields)
    assert isinstance(outcome, RejectedRecord)
    assert outcome.reason is reason


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
    assert reader.add(NODE, lambda record: read_event(record, default_zone="America/Toronto")) is not None
    assert len(reader.records) + reader.outside_window + reader.left_out.total() == 2


@settings(max_examples=250, deadline=None)
@given(field=st.sampled_from([*NODE, "venue", "images", "displayPhoto", "isOnline"]), value=JSON)
def test_any_value_in_any_field_gives_an_event_or_a_reason(field: str, value: Any):
    outcome = read(**{field: value})
    assert isinstance(outcome, Event | RejectedRecord | LeftOut)
    if isinstance(outcome, RejectedRecord):
        assert outcome.reason is not RejectReason.UNPARSABLE, "a fault that the reader should have foreseen"
