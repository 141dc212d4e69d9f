"""Ticketmaster over HTTP: everything of a window in spite of the wall at 1,000 items, and refusals in their own words."""

from datetime import date
from itertools import pairwise
from typing import Any

import pytest

from ingestion_assets.events.model import FetchWindow, Precision
from ingestion_assets.events.sources.ticketmaster import TicketmasterSettings, TicketmasterSource
from ingestion_assets.events.sources.ticketmaster_api import CAP
from ingestion_assets.events.sources.ticketmaster_parts import Part, Tally
from resources.errors import PermanentError, TransientError
from tests.fakes._server import Answer, FaultPlan, Request, Truth, json_answer
from tests.fakes.fetching import Fetched, build, count, fetch, fetch_from
from tests.fakes.ticketmaster import KEY, FakeTicketmaster

MONTH = FetchWindow(date(2026, 11, 16), date(2026, 12, 16), "America/Toronto")
VOLATILE = TicketmasterSource.volatile_paths


def refused_by(service: FakeTicketmaster, **extra: str) -> Exception:
    with pytest.raises((PermanentError, TransientError)) as caught:
        fetch_from(service, window=MONTH, **extra)
    assert KEY not in str(caught.value)
    return caught.value


def test_twenty_thousand_events_in_thirty_days_all_arrive_although_days_exceed_the_wall():
    with FakeTicketmaster(count=20_000) as service:
        per_day = {}
        for row in service.rows():
            per_day[row.epoch // 86_400] = per_day.get(row.epoch // 86_400, 0) + 1
        found = fetch_from(service, window=MONTH)
        deepest = max(int(line.request.query["page"]) * int(line.request.query["size"]) for line in service.requests)
    assert max(per_day.values()) > CAP
    assert len(found.events) == len(found.by_id) == 20_000
    assert not found.incomplete
    assert deepest < CAP
    assert len(service.requests) < 160, "100 pages hold the events; the rest is the price of finding where to cut"


def test_a_minute_above_the_wall_is_cut_by_segment_and_by_venue():
    with FakeTicketmaster(count=3_000, same_minute=2_600) as service:
        found = fetch_from(service, window=MONTH)
        asked = [line.request for line in service.requests]
    assert len(found.events) == len(found.by_id) == 3_000
    assert not found.incomplete
    assert any("segmentId" in request.query for request in asked)
    assert any("venueId" in request.query for request in asked)


def test_events_without_a_segment_in_a_crowded_minute_are_found_through_their_venues():
    with FakeTicketmaster(count=1_500, same_minute=1_500, unsegmented=1_200) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.by_id) == 1_500
    assert not found.incomplete


def test_what_the_service_counts_and_does_not_list_makes_the_fetch_incomplete():
    with FakeTicketmaster(count=300, unlisted=4) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.by_id) == 296
    assert found.warnings == ["not_listed"]
    assert "did not list 4 of them" in found.incomplete[0]


def test_a_row_that_slips_from_page_to_page_while_they_are_read_is_found_again():
    class Shifting(FakeTicketmaster):
        """Between the first and the second page one event of the first page goes away, and comes back later."""

        def _matching(self, query: dict[str, str]) -> list[Any]:
            found = super()._matching(query)
            return found[1:] + found[:1] if query.get("page") == "1" and len(self.requests) == 1 else found

    with Shifting(count=390) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.events) == len(found.by_id) == 390
    assert not found.incomplete


def test_dates_to_be_announced_come_in_a_pass_of_their_own():
    with FakeTicketmaster(count=50, undated=8) as service:
        found = fetch_from(service, window=MONTH)
        undated = [event for event in found.events if event.precision is Precision.TBA]
        last = [line.request.query for line in service.requests[-2:]]
    assert len(found.by_id) == 58
    assert len(undated) == 8
    assert [("includeTBA" in query, "includeTBD" in query) for query in last] == [(True, False), (False, True)]
    assert all("startDateTime" not in query for query in last)


def test_only_local_days_of_the_window_are_kept_and_the_rest_is_counted():
    week = FetchWindow(date(2026, 11, 23), date(2026, 11, 30), "America/Toronto")
    with FakeTicketmaster(count=2_000) as service:
        found = fetch_from(service, window=week)
        everything = fetch_from(service, window=MONTH)
    expected = {event.source_id for event in everything.events if event.start and event.start.date in week}
    assert set(found.by_id) == expected
    assert found.outside > 0


def test_counts_are_the_known_truth_over_three_passes_under_faults_and_no_retry_comes_early():
    with FakeTicketmaster(count=2_500, undated=20, malformed=60, faults=FaultPlan.usual(seed=3)) as service:
        first = fetch_from(service, window=MONTH)
        assert first.reasons == service.reasons()
        service.advance_to_pass(2)
        second = fetch_from(service, window=MONTH)
        again = fetch_from(service, window=MONTH)
        assert count(Fetched(), first, VOLATILE) == service.truth(1)
        expected = Truth(created=50, updated=252, skipped=2_268, errors=60)
        assert count(first, second, VOLATILE) == service.truth(2) == expected
        assert count(second, again, VOLATILE) == service.repeat_truth(2)
        assert sum(service.served.values()) > 30
        assert service.early == []
    assert not first.incomplete + second.incomplete + again.incomplete


def test_a_used_up_quota_ends_the_fetch_at_once_and_says_when_it_is_whole_again():
    with FakeTicketmaster(count=2_000, requests_per_day=5) as service:
        error = refused_by(service)
        asked = len(service.requests)
    assert isinstance(error, TransientError)
    assert error.retry_after == pytest.approx(12 * 3600, abs=120)  # the clock of the fake says noon
    assert asked == 6, "no further request once the quota is known to be gone"


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Answer(status=403, body=b"<html>no</html>", content_type="text/html"), PermanentError, "TICKETMASTER_API_KEY"),
        (json_answer({"errors": [{"code": "DIS9", "detail": "bad date"}]}, status=400), PermanentError, "DIS9: bad date"),
        (json_answer({"errors": [{"code": "DIS1", "detail": f"for {KEY}"}]}), PermanentError, "DIS1: for ***"),
        (json_answer([1, 2]), TransientError, "not a JSON object"),
        (json_answer({"fault": {"detail": {"errorcode": "x.QuotaViolation"}}}, status=429), TransientError, "quota"),
    ],
)  # fmt: skip
def test_refusals_are_told_apart(answer: Answer, kind: type[Exception], said: str):
    class Refusing(FakeTicketmaster):
        def answer(self, request: Request) -> Answer:
            return answer

    with Refusing(count=1) as service:
        error = refused_by(service)
        assert isinstance(error, kind)
        assert said in str(error)
        assert len(service.requests) == 1


SPIKE = {"fault": {"detail": {"errorcode": "policies.ratelimit.SpikeArrestViolation"}}}
QUOTA = {"fault": {"detail": {"errorcode": "policies.ratelimit.QuotaViolation"}}}
BEGIN = 1_772_366_400
"""Where the clock of the fake begins."""


@pytest.mark.parametrize(
    ("fault", "headers", "wait"),
    [
        (SPIKE, {}, 2),
        (SPIKE, {"Retry-After": "7"}, 7),
        (SPIKE, {"Rate-Limit-Reset": str((BEGIN + 9) * 1_000)}, 9),
        (SPIKE, {"Rate-Limit-Reset": str((BEGIN + 40_000) * 1_000)}, 2),  # that of the day's quota
        (QUOTA, {"Retry-After": "7"}, 7),
        (QUOTA, {"Rate-Limit-Reset": str(BEGIN + 9), "Retry-After": "20"}, 20),
    ],
)
def test_no_request_comes_before_the_moment_that_a_limit_names(
    fault: dict[str, Any], headers: dict[str, str], wait: float
):
    limits = [json_answer(fault, status=429, headers=headers)]

    class Limiting(FakeTicketmaster):
        def answer(self, request: Request) -> Answer:
            return limits.pop() if limits else super().answer(request)

    with Limiting(count=20) as service:
        found = fetch_from(service, window=MONTH)
        limited, repeated = (line.at for line in service.requests[:2])
    assert len(found.events) == 20
    assert wait <= repeated - limited < wait + 1


def test_a_wrong_key_is_permanent_and_names_the_variable_but_not_the_key():
    with FakeTicketmaster(count=1) as service:
        error = refused_by(service, TICKETMASTER_API_KEY="wrong-key-123456")
    assert isinstance(error, PermanentError)
    assert "TICKETMASTER_API_KEY" in str(error)
    assert "wrong-key" not in str(error)


def test_a_key_that_the_service_repeats_in_its_links_does_not_reach_a_payload():
    class Leaking(FakeTicketmaster):
        def _record(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            record = super()._record(*args, **kwargs)
            record["_links"]["self"]["href"] += f"&apikey={KEY}"
            return record

    with Leaking(count=20) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.events) == 20
    assert KEY not in repr(found)


def test_no_more_than_the_allowed_requests_go_out_in_a_second():
    with FakeTicketmaster(count=2_000) as service:
        fetch_from(service, window=MONTH)
        times = [line.at for line in service.requests]
    assert all(later - earlier >= 0.499 for earlier, later in pairwise(times))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"countryCode": "CA", "stateCode": "QC"}),
        ({"country_code": "US"}, {"countryCode": "US"}),
        ({"state_code": "ON"}, {"countryCode": "CA", "stateCode": "ON"}),
        ({"state_code": "*"}, {"countryCode": "CA"}),
        ({"country_code": "*"}, {}),
        ({"city": "Montréal"}, {"countryCode": "CA", "city": "Montréal"}),
        ({"dma_id": "522"}, {"countryCode": "CA", "dmaId": "522"}),
        (
            {"geo_point": "f25dv", "radius": 40},
            {"countryCode": "CA", "geoPoint": "f25dv", "radius": "40", "unit": "km"},
        ),
        ({"radius": 40}, {"countryCode": "CA", "stateCode": "QC"}),
    ],
)
def test_settings_say_where(given: dict[str, Any], expected: dict[str, str]):
    assert TicketmasterSettings(**given).place() == expected


def test_without_a_key_the_source_says_what_to_set():
    source = build("ticketmaster", {"TICKETMASTER_API_KEY": ""})
    assert source.settings.missing() == ["TICKETMASTER_API_KEY"]
    with pytest.raises(PermanentError, match="set TICKETMASTER_API_KEY"):
        fetch(source)


def test_the_policy_carries_the_published_limits():
    policy = build("ticketmaster", {"TICKETMASTER_API_KEY": "k"}).policy
    assert (policy.requests_per_second, policy.requests_per_day) == (2.0, 5_000)


def test_parts_of_a_part_cover_every_second_once():
    whole = Part(1_772_000_040, 1_772_000_040 + 7 * 86_400 - 1)
    for total in (1_000, 5_432, 500_000):
        pieces = whole.by_time(total)
        assert len(pieces) > 1
        assert (pieces[0].begin, pieces[-1].end) == (whole.begin, whole.end)
        for one, other in pairwise(pieces):
            assert one.end is not None
            assert one.end + 1 == other.begin
    assert Part(0, 59).by_time(5_000) == []
    assert [(piece.begin, piece.end) for piece in Part(0, 119).by_time(5_000)] == [(0, 59), (60, 119)]


def test_a_tally_takes_nothing_twice_and_knows_what_its_parts_received():
    whole = Tally()
    one, other = Tally(whole), Tally(whole)
    assert one.fresh([{"id": "a"}, {"id": "b"}, {"id": "a"}, None], nameless=True) == [{"id": "a"}, {"id": "b"}, None]
    assert other.fresh([{"id": "b"}, {"id": "c"}, {}], nameless=False) == [{"id": "c"}]
    assert (one.received, other.received, whole.received) == (3, 2, 4)
