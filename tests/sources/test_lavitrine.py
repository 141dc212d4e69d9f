"""La Vitrine by its REST API, over HTTP from a fake of it."""

from datetime import date, time

import pytest

from ingestion_assets.events.model import EventStatus, FetchWindow, Precision
from ingestion_assets.events.sources.lavitrine import LaVitrineSource
from resources.errors import PermanentError, TransientError
from tests.fakes._server import Answer, FaultPlan, Truth, json_answer
from tests.fakes.fetching import Fetched, build, count, fetch_from
from tests.fakes.lavitrine import BAD_DETAILS, KEY, FakeLaVitrine, detail

VOLATILE = LaVitrineSource.volatile_paths


def test_stubs_of_every_kind_are_completed_by_their_details():
    with FakeLaVitrine(events=120, bad=4) as service:
        found = fetch_from(service)
    assert len(found.by_id) == len(found.events) == 120
    assert {source_id.partition(":")[0] for source_id in found.by_id} == {"Event", "EventSeries", "ExhibitionEvent"}
    assert found.reasons == {reason: 1 for reason, _ in BAD_DETAILS}
    assert not found.incomplete


def test_kinds_share_ids_and_stay_apart():
    with FakeLaVitrine(events=30, bad=0) as service:
        found = fetch_from(service)
    assert {"Event:1", "EventSeries:1", "ExhibitionEvent:1"} <= set(found.by_id)


def test_a_record_becomes_an_event():
    with FakeLaVitrine(events=60, bad=0) as service:
        by_id = fetch_from(service).by_id
    event = by_id["Event:4"]
    assert event.title == "Spectacle Event 4"
    assert event.description == "Un spectacle d’hiver, numéro 4."
    assert (event.start.time, event.end.time, event.start.zone) == (time(20), time(22), "America/Toronto")
    assert event.warnings == ("zone_assumed",)
    assert (event.venue.name, event.venue.city, event.venue.source_id) == ("Théâtre 4", "Montréal", "lieu-4")
    assert (event.price.minimum, event.price.maximum, event.price.currency) == (20, 35.5, "CAD")
    assert event.categories == ("Humour",)
    assert event.audience == ("Adultes",)
    assert event.language == "fr"
    assert event.series_id == "EventSeries:990000"
    assert event.image_url == "https://images.example/Event/4.jpg"
    assert EventStatus.CANCELLED in {found.status for found in by_id.values()}


def test_a_permanent_exhibition_comes_undated_with_every_window():
    day = FetchWindow(date(2026, 12, 1), date(2026, 12, 2), "America/Toronto")
    with FakeLaVitrine(events=60, bad=0) as service:
        found = fetch_from(service, window=day)
    undated = {event.source_id for event in found.events if event.precision is Precision.TBA}
    assert undated == {f"ExhibitionEvent:{number}" for number in range(3, 21, 3)}


def test_the_list_is_read_to_its_end_however_short_the_server_makes_its_pages():
    with FakeLaVitrine(events=120, bad=0, largest_page=7) as service:
        found = fetch_from(service)
    assert len(found.by_id) == 120


def test_a_server_that_ignores_the_offset_ends_the_list_and_withdraws_nothing():
    class Stuck(FakeLaVitrine):
        def answer(self, request):
            request.query["offset"] = "0"
            return super().answer(request)

    with Stuck(events=30, bad=0) as service:
        found = fetch_from(service)
    assert len(found.by_id) == 30
    assert "repeats itself" in found.incomplete[0]


def test_counts_are_the_known_truth_over_two_passes_under_faults():
    with FakeLaVitrine(events=300, bad=4, faults=FaultPlan.usual(seed=11)) as service:
        first = fetch_from(service)
        service.advance_to_pass(2)
        second = fetch_from(service)
        again = fetch_from(service)
        assert count(Fetched(), first, VOLATILE) == service.truth(1)
        assert count(first, second, VOLATILE) == service.truth(2) == Truth(created=6, updated=30, skipped=270, errors=4)
        assert count(second, again, VOLATILE) == service.repeat_truth(2)
        assert sum(service.served.values()) > 100
        assert service.early == []


def test_a_hundred_requests_a_minute_are_never_exceeded():
    with FakeLaVitrine(events=240, bad=0, per_minute=100) as service:
        found = fetch_from(service, LAVITRINE_REQUESTS_PER_MINUTE="100")
        assert {line.status for line in service.requests} == {200}
        assert service.clock.monotonic() > 120
    assert len(found.by_id) == 240


def test_the_published_pace_is_kept_except_towards_this_machine():
    public = build("lavitrine", {"LAVITRINE_API_KEY": KEY})
    mixed = build("lavitrine", {"LAVITRINE_PAGE_URLS": "http://127.0.0.1:1/agenda, https://site.example/agenda"})
    local = build("lavitrine", {"LAVITRINE_API_KEY": KEY, "LAVITRINE_BASE_URL": "http://127.0.0.1:1/v1"})
    assert public.policy.requests_per_second == mixed.policy.requests_per_second == 100 / 60
    assert local.policy.requests_per_second is None


def test_a_smaller_limit_is_obeyed_by_its_headers():
    with FakeLaVitrine(events=90, bad=0, per_minute=30) as service:
        found = fetch_from(service)
        assert 429 in {line.status for line in service.requests}
        assert service.early == []
    assert len(found.by_id) == 90


def test_a_record_that_is_gone_since_it_was_listed_is_a_warning():
    with FakeLaVitrine(events=30, bad=0) as service:
        service.gone = {"Event:2", "EventSeries:3"}
        found = fetch_from(service)
    assert len(found.by_id) == 28
    assert found.warnings == ["detail_gone", "series_parent", "detail_gone"]
    assert not found.incomplete


def test_a_series_is_its_parts_and_each_of_them_comes_once():
    with FakeLaVitrine(events=60, bad=0) as service:
        parent = service.records(1)["EventSeries:990000"]
        found = fetch_from(service)
    assert [part["identifier"] for part in parent["subEvent"]] == [4, 8]
    assert "EventSeries:990000" not in found.by_id
    assert {"Event:4", "Event:8", "EventSeries:1"} <= set(found.by_id)
    assert len(found.by_id) == len(found.events) == 60
    assert found.by_id["Event:4"].venue.source_id == "lieu-4"
    assert found.warnings == ["series_parent"]
    assert not found.incomplete


def test_a_part_that_no_list_names_is_asked_for_by_its_id():
    def told(kind, number, start):
        return {"@type": kind, "identifier": number, "name": "En bref", "startDate": start}

    parts = [
        told("Event", 77, "2026-12-15T19:00:00"),
        told("ExhibitionEvent", 77, "2026-12-16T10:00:00"),
        told("Event", 78, "2027-12-15T19:00:00"),
        told("Event", None, "2026-12-17T19:00:00"),
        {"@type": "Event", "identifier": 79, "name": "Sans date"},
    ]

    class Unlisting(FakeLaVitrine):
        def records(self, pass_number):
            tours = {f"EventSeries:{number}": detail("EventSeries", number) | {"subEvent": parts} for number in (1, 2)}
            return super().records(pass_number) | tours

        def answer(self, request):
            kind = {"/v1/events/77": "Event", "/v1/exhibitionEvents/77": "ExhibitionEvent"}.get(request.path)
            return json_answer(detail(kind, 77)) if kind else super().answer(request)

    with Unlisting(events=6, bad=0) as service:
        found = fetch_from(service)
        asked = [line.request.path for line in service.requests if line.request.path.endswith(("/77", "/78", "/79"))]
    assert set(found.by_id) == {
        *("Event:1", "Event:2", "ExhibitionEvent:1", "ExhibitionEvent:2", "Event:77", "ExhibitionEvent:77")
    }
    assert asked == ["/v1/events/77", "/v1/exhibitionEvents/77"]
    assert found.by_id["Event:77"].venue.name == "Théâtre 27"
    assert found.reasons == {"missing_id": 2}
    assert not found.incomplete


def test_one_record_that_the_service_cannot_give_costs_itself_only():
    class Broken(FakeLaVitrine):
        def answer(self, request):
            if request.path == "/v1/events/3":
                return Answer(status=500, body=b"{}")
            return super().answer(request)

    with Broken(events=30, bad=0) as service:
        found = fetch_from(service)
    assert len(found.by_id) == 29
    assert [record.source_id for record in found.rejected] == ["Event:3"]
    assert found.incomplete == ["1 Event records could not be read"]


def test_a_record_that_fails_for_a_while_is_asked_for_once_more_at_the_end():
    class Unlucky(FakeLaVitrine):
        failures = dict.fromkeys((f"/v1/events/{number}" for number in (3, 6, 9, 12)), 8)

        def answer(self, request):
            if self.failures.get(request.path, 0) > 0:
                self.failures[request.path] -= 1
                return Answer(status=503, body=b"{}")
            return super().answer(request)

    with Unlucky(events=30, bad=0) as service:
        found = fetch_from(service)
    assert len(found.by_id) == len(found.events) == 30
    assert not found.rejected
    assert not found.incomplete


def test_many_records_that_the_service_cannot_give_cost_only_themselves():
    class Broken(FakeLaVitrine):
        def answer(self, request):
            if request.path.startswith("/v1/events/") and int(request.path.rpartition("/")[2]) % 3 == 0:
                return Answer(status=500, body=b"{}")
            return super().answer(request)

    with Broken(events=150, bad=0) as service:
        broken = [key for key in service.records(1) if key.startswith("Event:") and int(key[6:]) % 3 == 0]
        found = fetch_from(service)
    assert len(broken) > 10
    assert len(found.by_id) == 150 - len(broken)
    assert sorted(record.source_id for record in found.rejected) == sorted(broken)
    assert found.incomplete == [f"{len(broken)} Event records could not be read"]


@pytest.mark.parametrize("status", [400, 403, 422])
def test_one_record_that_the_service_refuses_to_give_costs_itself_only(status):
    class Refusing(FakeLaVitrine):
        def answer(self, request):
            if request.path in ("/v1/events/2", "/v1/events/3", "/v1/events/4", "/v1/events/5"):
                return json_answer({"error": "Bad Request"}, status=status)
            return super().answer(request)

    with Refusing(events=30, bad=0) as service:
        found = fetch_from(service)
    assert len(found.by_id) == 26
    assert [record.source_id for record in found.rejected] == ["Event:2", "Event:3", "Event:4", "Event:5"]
    assert found.incomplete == ["4 Event records could not be read"]


def test_a_key_that_is_refused_on_the_way_ends_the_fetch():
    class Revoked(FakeLaVitrine):
        def answer(self, request):
            if request.path == "/v1/events/3":
                return json_answer({"error": "Unauthorized"}, status=401)
            return super().answer(request)

    with Revoked(events=30, bad=0) as service, pytest.raises(PermanentError, match="check LAVITRINE_API_KEY"):
        fetch_from(service)


def test_a_list_that_is_not_there_any_more_is_not_its_end():
    class Short(FakeLaVitrine):
        def answer(self, request):
            query = request.query
            if query.get("schema") == "Event" and query["offset"] == "200":
                return json_answer({"error": "Not Found"}, status=404)
            return super().answer(request)

    with Short(events=750, bad=0) as service:
        found = fetch_from(service)
    assert 200 <= sum(source_id.startswith("Event:") for source_id in found.by_id) < 250
    assert found.incomplete == ["the list of Event is not there at offset 200"]


def test_a_kind_that_is_not_there_leaves_the_others_and_withdraws_nothing():
    class Without(FakeLaVitrine):
        def answer(self, request):
            if request.query.get("schema") == "EventSeries":
                return json_answer({"error": "Not Found"}, status=404)
            return super().answer(request)

    with Without(events=30, bad=0) as service:
        found = fetch_from(service)
    assert len(found.by_id) == 20
    assert found.incomplete == ["the list of EventSeries is not there at offset 0"]


def test_an_address_without_any_list_is_an_error_and_not_an_empty_calendar():
    with FakeLaVitrine(events=30, bad=0) as service:
        wrong = service.base_url.removesuffix("/v1") + "/v2"
        with pytest.raises(PermanentError, match="check LAVITRINE_BASE_URL"):
            fetch_from(service, LAVITRINE_BASE_URL=wrong)


def test_a_service_that_gives_no_record_at_all_ends_the_fetch():
    class Down(FakeLaVitrine):
        def answer(self, request):
            if request.path != "/v1/searchEvents":
                return Answer(status=503, body=b"{}")
            return super().answer(request)

    with Down(events=300, bad=0) as service:
        with pytest.raises(TransientError):
            fetch_from(service)
        assert len(service.requests) < 40


def test_stubs_that_are_no_stubs_are_refused():
    class Odd(FakeLaVitrine):
        def answer(self, request):
            if request.path == "/v1/searchEvents" and request.query["schema"] == "Event":
                stubs = [None, 7, {"@type": "Event"}, {"identifier": 1}, {"identifier": "../places/1"}]
                return json_answer(stubs if request.query["offset"] == "0" else [])
            return super().answer(request)

    with Odd(events=3, bad=0) as service:
        found = fetch_from(service)
        asked = [line.request.path for line in service.requests]
    assert found.reasons == {"not_an_object": 2, "missing_id": 1}
    assert "Event:1" in found.by_id
    assert "/v1/events/..%2Fplaces%2F1" in asked


def test_a_refused_key_is_permanent_and_is_not_shown():
    with FakeLaVitrine() as service:
        with pytest.raises(PermanentError, match="check LAVITRINE_API_KEY") as caught:
            fetch_from(service, LAVITRINE_API_KEY="wrong-canary")
        assert len(service.requests) == 1
    assert "wrong-canary" not in repr(caught.value)


def test_one_way_in_is_enough_and_without_any_both_are_named():
    assert build("lavitrine", {}).settings.missing() == ["LAVITRINE_API_KEY or LAVITRINE_PAGE_URLS"]
    assert build("lavitrine", {"LAVITRINE_API_KEY": KEY}).settings.missing() == []
    pages = build("lavitrine", {"LAVITRINE_PAGE_URLS": "https://a.example/x,\n https://b.example/y"}).settings
    assert pages.missing() == []
    assert pages.pages == ("https://a.example/x", "https://b.example/y")
    for wrong in ("agenda.html", "https://", "http://[broken"):
        with pytest.raises(ValueError, match=r"no http address|Invalid IPv6"):
            build("lavitrine", {"LAVITRINE_PAGE_URLS": wrong})
    with pytest.raises(ValueError, match="LAVITRINE_LINK_PATTERN is not a regular expression"):
        build("lavitrine", {"LAVITRINE_LINK_PATTERN": "("})
