"""Eventbrite over HTTP: watch lists, continuation tokens, expansions, and refusals of one entry or of all."""

from collections import Counter
from datetime import date
from typing import Any

import pytest

from ingestion_assets.events.model import FetchWindow
from ingestion_assets.events.sources.eventbrite import EventbriteSettings, EventbriteSource
from resources.errors import PermanentError, TransientError
from tests.fakes._server import Answer, FaultPlan, Request, Truth, json_answer
from tests.fakes.eventbrite import ALONE, ORGANIZATION, TOKEN, VENUES, FakeEventbrite
from tests.fakes.fetching import Fetched, build, count, fetch, fetch_from

MONTH = FetchWindow(date(2026, 11, 16), date(2026, 12, 16), "America/Toronto")
VOLATILE = EventbriteSource.volatile_paths


def test_events_of_overlapping_lists_arrive_once_each():
    with FakeEventbrite(count=400, malformed=30) as service:
        found = fetch_from(service, window=MONTH)
        lists = {line.request.path for line in service.requests}
    assert len(found.events) == len(found.by_id) == 400
    assert found.reasons == service.reasons()
    assert {"/v3/organizers/17001/events/", "/v3/venues/29001/events/", f"/v3/events/{ALONE}/"} <= lists
    assert ALONE in found.by_id
    assert not found.incomplete


def test_an_organization_s_own_list_is_read_whole_and_cut_to_the_window():
    week = FetchWindow(date(2026, 11, 23), date(2026, 11, 30), "America/Toronto")
    lists = {"EVENTBRITE_ORGANIZER_IDS": "", "EVENTBRITE_VENUE_IDS": "", "EVENTBRITE_EVENT_IDS": ""}
    with FakeEventbrite(count=400) as service:
        found = fetch_from(service, window=week, EVENTBRITE_ORGANIZATION_IDS=ORGANIZATION, **lists)
        query = service.requests[0].request.query
    assert found.events
    assert all(event.start and event.start.date in week for event in found.events)
    assert len(found.events) + found.outside == 399
    assert query["time_filter"] == "all"
    assert "start_date.range_start" not in query


def test_organizers_and_venues_are_asked_for_the_window_with_a_day_on_either_side():
    with FakeEventbrite(count=10) as service:
        fetch_from(service, window=MONTH)
        query = service.requests[0].request.query
    assert query["start_date.range_start"] == "2026-11-15T00:00:00"
    assert query["start_date.range_end"] == "2026-12-17T00:00:00"
    assert query["status"] == "all"


def test_counts_are_the_known_truth_over_three_passes_under_faults_and_no_retry_comes_early():
    with FakeEventbrite(count=1_000, malformed=50, series=30, faults=FaultPlan.usual(seed=11)) as service:
        first = fetch_from(service, window=MONTH)
        assert first.reasons == service.reasons()
        service.advance_to_pass(2)
        second = fetch_from(service, window=MONTH)
        again = fetch_from(service, window=MONTH)
        assert count(Fetched(), first, VOLATILE) == service.truth(1)
        expected = Truth(created=20, updated=103, skipped=927, errors=50)
        assert count(first, second, VOLATILE) == service.truth(2) == expected
        assert count(second, again, VOLATILE) == service.repeat_truth(2)
        assert sum(service.served.values()) > 30
        assert service.early == []
    assert not first.incomplete + second.incomplete + again.incomplete


def test_a_series_is_its_occurrences_and_not_its_parent():
    with FakeEventbrite(count=20, series=13) as service:
        found = fetch_from(service, window=MONTH)
    occurrences = [event for event in found.events if event.series_id is not None]
    assert len(occurrences) == 13
    assert Counter(event.series_id for event in occurrences) == {"500000000": 6, "500000006": 6, "500000012": 1}
    assert not set(found.by_id) & {"500000000", "500000006", "500000012"}


@pytest.mark.parametrize(
    ("organizers", "events"),
    [
        ("", "https://www.eventbrite.ca/e/billets-atelier-500000000"),
        # The organizer's list gives the parent only, and one date is named.
        ("17002", "600000002"),
    ],
)
def test_a_series_is_all_its_dates_also_where_a_venue_or_a_name_gives_one_of_them(organizers: str, events: str):
    class AtVenue(FakeEventbrite):
        """The venue lists the series' first date; the others are at places that nobody watches."""

        def _list(self, kind, key, query):
            if kind == "venues":
                return [row for row in self.rows() if row.series == "500000000" and row.key != row.series][:1]
            return super()._list(kind, key, query)

    lists = {
        "EVENTBRITE_ORGANIZER_IDS": organizers,
        "EVENTBRITE_VENUE_IDS": VENUES[0],
        "EVENTBRITE_EVENT_IDS": events,
    }
    with AtVenue(count=0, series=4) as service:
        found = fetch_from(service, **lists)
    assert len(found.events) == len(found.by_id) == 4
    assert {event.series_id for event in found.events} == {"500000000"}
    assert not found.incomplete


def test_what_is_not_for_everybody_is_left_out_and_counted():
    with FakeEventbrite(count=20, private=7) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.events) == 20
    assert found.warnings == ["draft", "private_event"]


def test_an_expansion_that_fails_for_good_costs_only_itself():
    with FakeEventbrite(count=60, broken_expansion="ticket_availability") as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.events) == 60
    assert found.warnings == ["expansion_failed"]
    assert any(event.venue is not None for event in found.events)
    assert {event.organizer for event in found.events} > {"Organisme 17001", "Organisme 17002"}
    assert all(event.categories == ("Music", "Class, Training, or Workshop") for event in found.events)
    assert not found.incomplete


def test_an_expansion_that_fails_once_changes_no_record():
    with FakeEventbrite(count=200) as service:
        healthy = fetch_from(service, window=MONTH)
        service.expansions_fail = 0.15
        shaky = fetch_from(service, window=MONTH)
    assert shaky.by_id == healthy.by_id
    assert len(service.requests) > 20


def test_a_forgotten_continuation_starts_the_list_again_without_repeating_an_event():
    with FakeEventbrite(count=300, malformed=20, forgets_once=True) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.events) == len(found.by_id) == 300
    assert found.reasons == service.reasons()
    assert not found.incomplete


def test_a_list_that_announces_more_without_end_is_left_when_all_are_counted():
    with FakeEventbrite(count=300, endless=True) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.by_id) == 300
    assert not found.incomplete
    assert len(service.requests) < 20


def test_without_a_count_an_endless_list_makes_the_fetch_incomplete():
    with FakeEventbrite(count=300, endless=True, object_count=False) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.by_id) == 300
    assert set(found.warnings) == {"not_listed"}
    assert len(found.incomplete) == 5


def test_pages_by_number_are_followed_where_there_is_no_continuation():
    class Older(FakeEventbrite):
        def answer(self, request: Request) -> Answer:
            page = int(request.query.get("page", "1"))
            body = {"pagination": {"page_number": page, "page_count": 3, "has_more_items": page < 3}}
            return json_answer(body | {"events": [self.rows()[page].fields]})

    only = {"EVENTBRITE_VENUE_IDS": "", "EVENTBRITE_EVENT_IDS": "", "EVENTBRITE_ORGANIZER_IDS": "17001"}
    with Older(count=10) as service:
        found = fetch_from(service, window=MONTH, **only)
    assert len(found.events) == 3
    assert not found.incomplete


@pytest.mark.parametrize("status", [400, 403, 404])
def test_one_refused_entry_is_a_warning_and_nothing_may_be_withdrawn(status: int):
    with FakeEventbrite(count=300, refuse={"17002": status}) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.events) > 150
    assert found.warnings == ["entry_refused"]
    assert "17002" in found.incomplete[0]
    assert TOKEN not in found.incomplete[0]


def test_a_token_refused_for_every_entry_is_permanent_and_names_the_variable():
    with FakeEventbrite() as service, pytest.raises(PermanentError, match="EVENTBRITE_TOKEN") as caught:
        fetch_from(service, window=MONTH, EVENTBRITE_TOKEN="wrong-token-123456")
    assert "wrong-token" not in str(caught.value)


def test_a_token_refused_for_one_entry_only_is_a_warning():
    with FakeEventbrite(count=30, refuse={"17001": 401}) as service:
        assert fetch_from(service, window=MONTH).warnings == ["entry_refused"]


def test_every_entry_gone_is_no_failure_of_the_token():
    gone = dict.fromkeys(("17001", "17002", "17003", "29001", "29002", ALONE), 404)
    with FakeEventbrite(refuse=gone) as service:
        found = fetch_from(service, window=MONTH)
    assert found.events == []
    assert len(found.incomplete) == 6


def test_the_hourly_limit_without_a_named_time_ends_the_fetch_for_an_hour():
    with FakeEventbrite(faults=FaultPlan(rate_limited=1), names_wait=False) as service:
        with pytest.raises(TransientError, match="hourly limit") as caught:
            fetch_from(service, window=MONTH)
        assert caught.value.retry_after == 3_600
        assert len(service.requests) == 1


def test_full_descriptions_are_fetched_when_asked_for_and_kept_in_the_payload():
    with FakeEventbrite(count=12) as service:
        found = fetch_from(service, window=MONTH, EVENTBRITE_FULL_DESCRIPTIONS="true")
        asked = [line.request.path for line in service.requests if line.request.path.endswith("/description/")]
    assert len(asked) == len(found.events) == 12
    event = found.by_id[ALONE]
    assert event.description == f"Tout sur {ALONE}.\n\nBienvenue !"
    assert "full_description" in event.payload


def test_summaries_are_enough_by_default():
    with FakeEventbrite(count=12) as service:
        found = fetch_from(service, window=MONTH)
        assert not any(line.request.path.endswith("/description/") for line in service.requests)
    assert {event.description for event in found.events} == {"Un résumé."}


def test_a_description_that_is_refused_leaves_the_summary():
    with FakeEventbrite(count=12) as service:
        original = service.answer
        gone = json_answer({"error": "NOT_FOUND"}, status=404)
        service.answer = lambda request: gone if request.path.endswith("/description/") else original(request)  # type: ignore[method-assign]
        found = fetch_from(service, window=MONTH, EVENTBRITE_FULL_DESCRIPTIONS="true")
    assert {event.description for event in found.events} == {"Un résumé."}
    assert found.warnings == ["description_refused"]


def test_the_policy_carries_the_published_limit():
    assert build("eventbrite", {"EVENTBRITE_TOKEN": "t"}).policy.requests_per_hour == 2_000


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"token": TOKEN, "event_ids": "1"}, []),
        ({"organizer_ids": "1"}, ["EVENTBRITE_TOKEN"]),
    ],
)
def test_settings_say_what_is_missing(values: dict[str, Any], missing: list[str]):
    assert EventbriteSettings(**values).missing() == missing


def test_with_nothing_set_token_and_lists_are_named():
    source = build("eventbrite", {})
    token, lists = source.settings.missing()
    assert token == "EVENTBRITE_TOKEN"
    for name in ("ORGANIZER", "VENUE", "ORGANIZATION", "EVENT"):
        assert f"EVENTBRITE_{name}_IDS" in lists
    with pytest.raises(PermanentError, match="EVENTBRITE_TOKEN"):
        fetch(source)


def test_entries_are_ids_or_addresses_that_end_in_one():
    site = "https://www.eventbrite.ca"
    found = EventbriteSettings(
        organizer_ids=f"{site}/o/cercle-12345678901, 17001",
        event_ids=f"{site}/e/a-2026-tickets-987654321?aff=x\n{site}/e/b-billets-55555/ 17001",
    ).watched()
    assert found == [
        ("organizers", "12345678901"),
        ("organizers", "17001"),
        ("events", "987654321"),
        ("events", "55555"),
        ("events", "17001"),
    ]
