"""AllEvents, over HTTP from a fake of its API, and item by item."""

from datetime import date, time
from zoneinfo import ZoneInfo

import pytest

from ingestion_assets.events.model import Event, EventStatus, FetchWindow, RejectedRecord, RejectReason
from ingestion_assets.events.sources.allevents import AllEventsSource
from ingestion_assets.events.sources.fields import read_record
from resources.errors import PermanentError, TransientError
from resources.http import OutboundFailure
from tests.fakes._server import FaultPlan, Truth, json_answer
from tests.fakes.allevents import BAD_ITEMS, KEY, FakeAllEvents, epoch, event_item
from tests.fakes.fetching import Fetched, build, count, fetch_from

VOLATILE = AllEventsSource.volatile_paths
SETTINGS = {"ALLEVENTS_API_KEY": "k", "ALLEVENTS_CITY": "montreal"}


def read(**fields):
    source = build("allevents", SETTINGS)
    return read_record({**event_item(1), **fields}, source._read)


def parsed(**fields) -> Event:
    event = read(**fields)
    assert isinstance(event, Event), event
    return event


def test_every_page_is_fetched_until_one_is_short():
    with FakeAllEvents(events=250, bad=4) as service:
        found = fetch_from(service)
        asked = [line.request for line in service.requests]
    assert len(found.by_id) == len(found.events) == 250
    assert found.reasons == {reason: 1 for reason, _ in BAD_ITEMS}
    assert [request.query["page"] for request in asked] == ["0", "1", "2"]
    assert {request.method for request in asked} == {"POST"}
    assert {request.path for request in asked} == {"/events/list/"}
    assert asked[0].query["sdate"] == "15-11-2026"
    assert asked[0].query["edate"] == "02-03-2027"
    assert (asked[0].query["city"], asked[0].query["state"], asked[0].query["country"]) == ("montreal", "QC", "Canada")


def test_a_number_of_events_that_fills_its_last_page_costs_one_empty_page():
    with FakeAllEvents(events=200, bad=0) as service:
        found = fetch_from(service)
        assert len(service.requests) == 3
    assert len(found.events) == 200


@pytest.mark.parametrize("events", [150, 200, 250])
def test_a_service_that_counts_the_whole_list_on_every_page_is_left_after_an_empty_one(events):
    with FakeAllEvents(events=events, bad=0, counts_all=True) as service:
        found = fetch_from(service)
        asked = [line.request.query["page"] for line in service.requests]
    assert len(found.events) == events
    assert asked == [str(page) for page in range(-(-events // 100) + 1)]
    assert not found.incomplete


@pytest.mark.parametrize("zone", ["America/Toronto", "UTC", "Asia/Kolkata", "Pacific/Honolulu"])
@pytest.mark.parametrize("included", [True, False])
def test_no_event_of_the_window_is_lost_however_the_service_means_its_days(zone, included):
    class Edges(FakeAllEvents):
        def items(self, pass_number):
            starts = [epoch(day, *at) for day in days for at in ((0, 30), (23, 30))]
            return [event_item(number) | {"start_time": start} for number, start in enumerate(starts)]

    days = [date(2026, 11, 29), date(2026, 11, 30), date(2026, 12, 6), date(2026, 12, 7)]
    week = FetchWindow(days[1], days[3], "America/Toronto")
    with Edges(days_in=ZoneInfo(zone), last_day_included=included) as service:
        found = fetch_from(service, window=week)
    assert [(event.start.date, event.start.time) for event in found.events] == [
        *((days[1], time(0, 30)), (days[1], time(23, 30)), (days[2], time(0, 30)), (days[2], time(23, 30)))
    ]


def test_counts_are_the_known_truth_over_two_passes_under_faults():
    with FakeAllEvents(events=2000, bad=8, faults=FaultPlan.usual(seed=5)) as service:
        first = fetch_from(service)
        service.advance_to_pass(2)
        second = fetch_from(service)
        again = fetch_from(service)
        assert count(Fetched(), first, VOLATILE) == service.truth(1)
        assert (
            count(first, second, VOLATILE) == service.truth(2) == Truth(created=40, updated=200, skipped=1800, errors=8)
        )
        assert count(second, again, VOLATILE) == service.repeat_truth(2)
        assert sum(service.served.values()) > 15
        assert service.early == []


def test_the_list_around_a_point_is_filtered_here_because_the_service_does_not():
    week = FetchWindow(date(2026, 11, 23), date(2026, 11, 30), "America/Toronto")
    with FakeAllEvents(events=300, bad=0, geo=True) as service:
        found = fetch_from(service, window=week)
        (request, *_) = [line.request for line in service.requests]
        inside = fetch_from(service).events
    assert request.path == "/events/geo/"
    assert (request.query["latitude"], request.query["radius"]) == ("45.5", "30.0")
    assert "sdate" not in request.query
    expected = {event.source_id for event in inside if event.start.date in week}
    assert set(found.by_id) == expected
    assert 0 < len(expected) < 300
    assert found.outside == 300 - len(expected)


def test_a_service_that_repeats_its_last_page_is_left_after_it():
    with FakeAllEvents(events=200, bad=0, repeats_last_page=True) as service:
        found = fetch_from(service)
        assert len(service.requests) == 3
    assert len(found.events) == 200


@pytest.mark.parametrize("events", [50, 100, 250])
@pytest.mark.parametrize("repeats_last_page", [True, False])
def test_a_service_that_counts_its_pages_from_1_is_read_to_its_end(events, repeats_last_page):
    with FakeAllEvents(
        events=events, bad=0, geo=True, counts_from_1=True, repeats_last_page=repeats_last_page
    ) as service:
        found = fetch_from(service)
    assert len(found.events) == len(found.by_id) == events


def test_items_that_shift_from_one_page_to_the_next_come_once():
    class Shifting(FakeAllEvents):
        def items(self, pass_number):
            items = super().items(pass_number)
            return items if len(self.requests) == 0 else [event_item(5000), *items]

    with Shifting(events=150, bad=0) as service:
        found = fetch_from(service)
    assert len(found.events) == len(found.by_id) == 150


@pytest.mark.parametrize("body", [{"count": 0, "data": []}, {"count": 0, "data": None}, {"data": ""}, {"count": 0}])
def test_no_events_is_an_empty_fetch(body):
    class Empty(FakeAllEvents):
        def answer(self, request):
            return json_answer(body)

    with Empty() as service:
        assert fetch_from(service).events == []


@pytest.mark.parametrize("body", [[], "x", {"error": "internal"}, {"data": "not a list"}])
def test_an_answer_of_another_shape_is_an_error_and_not_an_empty_city(body):
    class Strange(FakeAllEvents):
        def answer(self, request):
            return json_answer(body)

    with Strange() as service, pytest.raises(TransientError):
        fetch_from(service)


def test_a_refused_key_is_permanent_and_is_not_shown():
    with FakeAllEvents() as service:
        with pytest.raises(PermanentError, match="check ALLEVENTS_API_KEY") as caught:
            fetch_from(service, ALLEVENTS_API_KEY="wrong-canary")
        assert len(service.requests) == 1
    assert "wrong-canary" not in repr(caught.value)
    assert KEY not in repr(build("allevents", service_settings()).settings)


def service_settings():
    return {"ALLEVENTS_API_KEY": KEY, "ALLEVENTS_CITY": "x"}


def refusing(status, message, headers=None):
    class Refusing(FakeAllEvents):
        def answer(self, request):
            return json_answer({"statusCode": status, "message": message}, status=status, headers=headers)

    return Refusing()


def test_a_spent_quota_is_handed_back_with_the_time_that_the_service_names():
    message = "Out of call volume quota. Quota will be replenished in 02:10:55."
    with refusing(403, message) as service:
        with pytest.raises(OutboundFailure) as caught:
            fetch_from(service)
        assert len(service.requests) == 1
    assert caught.value.retry_after == 2 * 3600 + 10 * 60 + 55


def test_a_forbidden_product_is_permanent():
    with refusing(403, "Forbidden") as service, pytest.raises(PermanentError, match="Forbidden"):
        fetch_from(service)


def test_the_settings_that_are_missing_are_named():
    assert build("allevents", {}).settings.missing() == [
        "ALLEVENTS_API_KEY",
        "ALLEVENTS_CITY (or ALLEVENTS_LATITUDE and ALLEVENTS_LONGITUDE)",
    ]
    assert build("allevents", SETTINGS).settings.missing() == []
    half = build("allevents", {**SETTINGS, "ALLEVENTS_LATITUDE": "45"})
    assert half.settings.missing() == ["ALLEVENTS_LATITUDE and ALLEVENTS_LONGITUDE, both or neither"]


def test_an_item_becomes_an_event():
    event = parsed(start_time=epoch(date(2026, 12, 5), 19, 30), end_time=epoch(date(2026, 12, 5), 22))
    assert event.source_id == "80000000000001"
    assert event.title == "Soirée d'hiver & danse 1"
    assert event.description == "Une soirée numéro 1.\nBienvenue à tous."
    assert (event.start.date, event.start.time, event.start.zone) == (
        date(2026, 12, 5),
        time(19, 30),
        "America/Toronto",
    )
    assert event.end.time == time(22)
    assert (event.venue.name, event.venue.address, event.venue.city) == ("Salle 1", "1, rue Ontario", "Montreal")
    assert (event.price.minimum, event.price.maximum, event.price.currency) == (10, 25, "CAD")
    assert event.url == "https://allevents.in/montreal/soiree-1/80000000000001"
    assert event.image_url == "https://cdn.example/banners/1.jpg"
    assert event.organizer == "Organisateur 1"
    assert event.categories == ("music", "parties", "hiver")


def test_an_end_before_the_start_is_dropped_with_a_warning():
    event = parsed(start_time=epoch(date(2026, 12, 5), 19), end_time=epoch(date(2026, 12, 5), 18))
    assert event.end is None
    assert event.warnings == ("end_before_start",)


@pytest.mark.parametrize("value", ["0", 0, None, "", "x", 95])
def test_impossible_coordinates_are_missing(value):
    place = {**event_item(1)["venue"], "latitude": value, "longitude": 0}
    venue = parsed(venue=place).venue
    assert (venue.lat, venue.lon) == (None, None)


@pytest.mark.parametrize(
    ("tickets", "price"),
    [
        ([], None),
        ({"has_tickets": False, "min_ticket_price": 0, "max_ticket_price": 0}, None),
        (
            {"has_tickets": True, "min_ticket_price": "0", "max_ticket_price": "0", "ticket_currency": "cad"},
            (True, 0, 0),
        ),
        ({"min_ticket_price": "5.5"}, (False, 5.5, 5.5)),
    ],
)
def test_a_price_is_kept_where_there_are_tickets(tickets, price):
    found = parsed(tickets=tickets).price
    assert (found and (found.free, found.minimum, found.maximum)) == price


def test_status_and_place_are_read_where_they_are_given():
    assert parsed(event_status="cancelled").status is EventStatus.CANCELLED
    online = parsed(location="Online Event")
    assert (online.online, online.venue) == (True, None)
    assert parsed(event_id=None).source_id == "80000000000001"
    assert parsed(timezone="America/Vancouver", start_time=epoch(date(2026, 12, 5), 22)).start.time == time(19)


@pytest.mark.parametrize(("reason", "damage"), BAD_ITEMS)
def test_a_malformed_item_is_refused_with_its_reason(reason, damage):
    record = read(**damage)
    assert isinstance(record, RejectedRecord)
    assert record.reason == RejectReason(reason)


@pytest.mark.parametrize(
    "value", [None, 0, -1.5, True, "", "x", [], {}, [None], {"a": [1]}, "\x00\ud800", 10**30, 1e308]
)
@pytest.mark.parametrize("field", list(event_item(1)))
def test_any_value_in_any_field_gives_an_event_or_a_reason(field, value):
    assert isinstance(read(**{field: value}), Event | RejectedRecord)
