"""Meetup over HTTP: cursors, tokens, and refusals that come with status 200."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.events.model import FetchWindow
from ingestion_assets.events.sources.meetup import MeetupSettings, MeetupSource
from resources.errors import PermanentError, TransientError
from tests.fakes._server import Answer, FaultPlan, Request, Truth, json_answer
from tests.fakes.fetching import Fetched, build, count, fetch, fetch_from
from tests.fakes.meetup import CLIENT_KEY, TOKEN, FakeMeetup, key_pair

MONTH = FetchWindow(date(2026, 11, 16), date(2026, 12, 16), "America/Toronto")
VOLATILE = MeetupSource.volatile_paths


def answering(*answers: Answer) -> FakeMeetup:
    """A service that gives these answers first and is well afterwards."""

    pending = list(answers)

    class Answering(FakeMeetup):
        def answer(self, request: Request) -> Answer:
            return pending.pop(0) if pending else super().answer(request)

    return Answering(count=20, groups=1)


def errors(*found: dict[str, Any], data: Any = None) -> Answer:
    return json_answer({"errors": list(found)} | ({"data": data} if data else {}))


def test_all_events_of_all_groups_arrive_page_by_page():
    with FakeMeetup(count=700, groups=3, malformed=30) as service:
        found = fetch_from(service, window=MONTH)
        cursors = [line.request.json()["variables"]["after"] for line in service.requests]
    assert len(found.events) == len(found.by_id) == 700
    assert found.reasons == service.reasons()
    assert cursors.count(None) == 3
    assert len(cursors) == 9
    assert not found.incomplete


def test_counts_are_the_known_truth_over_three_passes_under_faults_and_no_retry_comes_early():
    options = {"jwt": True, "token_requests": 6, "flaky_400": 0.2, "faults": FaultPlan.usual(seed=5)}
    with FakeMeetup(count=1_000, groups=4, malformed=50, **options) as service:
        first = fetch_from(service, window=MONTH)
        assert first.reasons == service.reasons()
        service.advance_to_pass(2)
        second = fetch_from(service, window=MONTH)
        again = fetch_from(service, window=MONTH)
        assert count(Fetched(), first, VOLATILE) == service.truth(1)
        expected = Truth(created=20, updated=100, skipped=900, errors=50)
        assert count(first, second, VOLATILE) == service.truth(2) == expected
        assert count(second, again, VOLATILE) == service.repeat_truth(2)
        assert sum(service.served.values()) > 15
        assert service.early == []
        assert service.tokens_issued > 3
    assert not first.incomplete + second.incomplete + again.incomplete


def test_the_identity_of_an_event_is_its_token_although_its_id_changes():
    with FakeMeetup(count=20) as service:
        first = fetch_from(service, window=MONTH)
        service.advance_to_pass(2)
        second = fetch_from(service, window=MONTH)
    moved = [key for key in first.by_id if first.by_id[key].payload["id"] != second.by_id[key].payload["id"]]
    assert len(moved) == 4
    assert set(first.by_id) < set(second.by_id)


def test_an_unknown_group_is_a_warning_and_nothing_may_be_withdrawn():
    with FakeMeetup(count=30, groups=2) as service:
        found = fetch_from(
            service, window=MONTH, MEETUP_GROUPS="groupe-0, nobody\nhttps://www.meetup.com/fr-FR/groupe-1/"
        )
    assert len(found.events) == 30
    assert found.warnings == ["group_not_found"]
    assert "'nobody'" in found.incomplete[0]


def test_a_group_without_events_in_the_window_is_no_gap():
    before = FetchWindow(date(2026, 6, 1), date(2026, 6, 8), "America/Toronto")
    with FakeMeetup(count=30, groups=2) as service:
        found = fetch_from(service, window=before)
    assert (found.events, found.warnings, found.incomplete) == ([], [], [])
    assert len(service.requests) == 6


def test_a_group_that_is_null_by_mistake_is_asked_for_again():
    with answering(json_answer({"data": {"groupByUrlname": None}})) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.events) == 20
    assert not found.incomplete


PRIVATE = json_answer(
    {
        "errors": [{"message": "private group", "path": ["groupByUrlname"], "extensions": {"code": "FORBIDDEN"}}],
        "data": {"groupByUrlname": None},
    }
)


def refusing(*urlnames: str, answer: Answer = PRIVATE) -> FakeMeetup:
    """A service with three groups that does not let one see these."""

    class Refusing(FakeMeetup):
        def answer(self, request: Request) -> Answer:
            return answer if request.json()["variables"]["urlname"] in urlnames else super().answer(request)

    return Refusing(count=60, groups=3)


def test_a_group_that_is_refused_is_a_warning_and_the_others_are_fetched():
    with refusing("groupe-0") as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.events) == 40
    assert found.warnings == ["group_refused"]
    assert "'groupe-0': private group" in found.incomplete[0]


REFUSALS = [
    json_answer({"errors": [{"message": "private group"}]}, status=403),
    json_answer({"code": "forbidden", "details": "?"}, status=403),
    json_answer({"message": "private group"}, status=404),
    Answer(status=403, body=b"<html>no", content_type="text/html"),
]


@pytest.mark.parametrize("answer", REFUSALS)
def test_a_group_that_is_refused_by_its_status_alone_costs_itself_only(answer: Answer):
    """It used to end the fetch: a 403 or 404 that named no path was taken for one about the query."""
    with refusing("groupe-0", answer=answer) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.events) == 40
    assert found.warnings == ["group_refused"]
    assert "'groupe-0'" in found.incomplete[0]
    assert f"HTTP {answer.status}" in found.incomplete[0]


@pytest.mark.parametrize("answer", REFUSALS)
def test_everything_refused_by_its_status_is_permanent(answer: Answer):
    groups = ("groupe-0", "groupe-1", "groupe-2")
    with (
        refusing(*groups, answer=answer) as service,
        pytest.raises(PermanentError, match=f"MEETUP_GROUPS.*HTTP {answer.status}"),
    ):
        fetch_from(service, window=MONTH)


def test_a_group_that_is_not_found_by_its_status_is_one_that_does_not_exist():
    missing = json_answer({"errors": [{"message": "?", "extensions": {"code": "NOT_FOUND"}}]}, status=404)
    with refusing("groupe-0", answer=missing) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.events) == 40
    assert found.warnings == ["group_not_found"]


def test_every_group_refused_is_permanent_and_names_the_variable():
    with (
        refusing("groupe-0", "groupe-1", "groupe-2") as service,
        pytest.raises(PermanentError, match=r"MEETUP_GROUPS.*private group"),
    ):
        fetch_from(service, window=MONTH)


def test_the_token_is_fetched_by_a_signed_assertion_and_renewed_when_it_is_refused():
    with FakeMeetup(count=300, groups=3, jwt=True, token_requests=2) as service:
        found = fetch_from(service, window=MONTH)
        sent = [line.request for line in service.requests if line.request.path == "/oauth2/access"]
    assert len(found.events) == 300
    assert service.tokens_issued == len(sent) == 2
    assert sent[0].form()["grant_type"].endswith("jwt-bearer")


def test_the_signing_key_may_be_a_file_or_a_variable_with_written_line_breaks(tmp_path: Path):
    file = tmp_path / "key.pem"
    file.write_text(key_pair()[0])
    with FakeMeetup(count=10, jwt=True) as service:
        for value in (str(file), key_pair()[0].replace("\n", "\\n")):
            assert len(fetch_from(service, window=MONTH, MEETUP_SIGNING_KEY=value).events) == 10


@pytest.mark.parametrize("value", ["no/such/file.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_an_unusable_signing_key_is_permanent_and_not_repeated_in_the_message(value: str):
    with FakeMeetup(jwt=True) as service, pytest.raises(PermanentError, match="MEETUP_SIGNING_KEY") as caught:
        fetch_from(service, window=MONTH, MEETUP_SIGNING_KEY=value)
    assert "AAAA" not in str(caught.value)
    assert service.requests == []


def test_a_refused_assertion_is_permanent_and_says_what_to_check():
    with FakeMeetup(jwt=True) as service, pytest.raises(PermanentError, match="MEETUP_MEMBER_ID") as caught:
        fetch_from(service, window=MONTH, MEETUP_MEMBER_ID="1")
    assert CLIENT_KEY not in str(caught.value)
    assert len(service.requests) == 1


def test_a_refused_static_token_is_permanent_and_names_its_variable():
    with FakeMeetup() as service, pytest.raises(PermanentError, match="MEETUP_TOKEN") as caught:
        fetch_from(service, window=MONTH, MEETUP_TOKEN="stale-token-123456")
    assert "stale-token" not in str(caught.value)
    assert len(service.requests) == 1


def test_throttling_that_names_a_time_is_waited_for():
    at = "2026-03-01T12:00:45Z"  # 45 s after the clock of the fake begins
    with answering(errors({"message": "slow", "extensions": {"code": "RATE_LIMITED", "resetAt": at}})) as service:
        found = fetch_from(service, window=MONTH)
        times = [line.at - service.requests[0].at for line in service.requests]
    assert len(found.events) == 20
    assert 45 <= times[1] < 47


def test_throttling_with_status_429_is_waited_for_as_well():
    slow = {"message": "slow", "extensions": {"code": "RATE_LIMITED", "resetAt": "2026-03-01T12:00:45Z"}}
    with answering(json_answer({"errors": [slow]}, status=429)) as service:
        found = fetch_from(service, window=MONTH)
        times = [line.at - service.requests[0].at for line in service.requests]
    assert len(found.events) == 20
    assert 45 <= times[1] < 47


def test_throttling_that_names_no_time_is_waited_for_a_minute():
    with answering(errors({"message": "slow", "extensions": {"code": "RATE_LIMITED"}})) as service:
        fetch_from(service, window=MONTH)
        times = [line.at - service.requests[0].at for line in service.requests]
    assert 60 <= times[1] < 62


def test_a_400_that_its_repetition_does_not_get_is_forgotten_and_a_second_one_is_permanent():
    bad = json_answer({"code": "bad_request", "details": "?"}, status=400)
    with answering(bad) as service:
        assert len(fetch_from(service, window=MONTH).events) == 20
    with answering(bad, bad) as service, pytest.raises(PermanentError, match="HTTP 400"):
        fetch_from(service, window=MONTH)


def test_an_invalid_grant_with_status_400_renews_the_token():
    bad = json_answer({"error": "invalid_grant", "error_description": "expired"}, status=400)
    with FakeMeetup(count=10, jwt=True) as service:
        original = service.answer
        pending = [bad]
        service.answer = lambda request: pending.pop() if pending and request.path == "/gql-ext" else original(request)  # type: ignore[method-assign]
        assert len(fetch_from(service, window=MONTH).events) == 10
        assert service.tokens_issued == 2


def test_the_retired_endpoint_is_permanent_and_says_where_to_go():
    with FakeMeetup(retired=True) as service, pytest.raises(PermanentError, match="gql-ext"):
        fetch_from(service, window=MONTH)
    assert len(service.requests) == 1


def test_a_validation_error_is_permanent():
    wrong = errors({"message": "Unknown argument 'filter'", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}})
    with answering(wrong) as service, pytest.raises(PermanentError, match="Unknown argument"):
        fetch_from(service, window=MONTH)
    assert len(service.requests) == 1


def test_a_field_that_the_schema_lost_is_left_out_with_a_warning():
    with FakeMeetup(count=40, unknown_fields=("topics", "feeSettings")) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.events) == 40
    assert found.warnings == ["field_unknown", "field_unknown"]
    assert all(event.categories == () and event.price is None for event in found.events)


def test_an_error_of_the_service_itself_is_tried_again():
    broken = errors({"message": "oops", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}, data={"groupByUrlname": None})
    with answering(broken, broken) as service:
        assert len(fetch_from(service, window=MONTH).events) == 20


def test_an_answer_with_data_and_errors_keeps_the_data_and_says_so():
    edge = {"node": {"id": "1", "token": "1", "title": "T", "status": "ACTIVE", "dateTime": "2026-11-20T18:00-05:00"}}
    group = {
        "name": "G",
        "events": {"totalCount": 2, "pageInfo": {"hasNextPage": False}, "edges": [edge, {"node": None}]},
    }
    with answering(errors({"message": "one venue is gone"}, data={"groupByUrlname": group})) as service:
        found = fetch_from(service, window=MONTH)
    assert list(found.by_id) == ["1"]
    assert found.reasons == {"not_an_object": 1}
    assert found.warnings == ["partial_answer"]
    assert found.incomplete == ["Meetup answered for 'groupe-0' with errors in place of events"]


def test_an_answer_with_errors_about_fields_is_complete():
    edge = {"node": {"id": "1", "token": "1", "title": "T", "status": "ACTIVE", "dateTime": "2026-11-20T18:00-05:00"}}
    group = {"name": "G", "events": {"totalCount": 1, "pageInfo": {"hasNextPage": False}, "edges": [edge]}}
    with answering(errors({"message": "one venue is gone"}, data={"groupByUrlname": group})) as service:
        found = fetch_from(service, window=MONTH)
    assert found.warnings == ["partial_answer"]
    assert not found.incomplete


def test_an_answer_that_is_no_object_ends_the_fetch_as_transient():
    with answering(json_answer([])) as service, pytest.raises(TransientError):
        fetch_from(service, window=MONTH)


def test_a_last_page_that_announces_another_is_the_last_when_all_were_counted():
    with FakeMeetup(count=250, groups=1, repeat_last_cursor=True) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.by_id) == 250
    assert not found.incomplete
    assert len(service.requests) == 4


def test_a_cursor_that_stands_still_before_the_end_makes_the_fetch_incomplete():
    class Stuck(FakeMeetup):
        def _answered(self, query: str, variables: dict[str, Any]) -> Answer:
            return super()._answered(query, variables | {"after": None})

    with Stuck(count=250, groups=1) as service:
        found = fetch_from(service, window=MONTH)
    assert len(found.by_id) == 100
    assert found.warnings == ["cursor_stuck"]
    assert "100 of 250" in found.incomplete[0]
    assert len(service.requests) == 2


def test_only_published_events_of_the_window_are_asked_for():
    with FakeMeetup(count=10, groups=1) as service:
        fetch_from(service, window=MONTH)
        variables = service.requests[0].request.json()["variables"]
    assert variables["from"] == "2026-11-15T10:00:00+00:00", "the first day begins at UTC+14"
    assert variables["to"] == "2026-12-16T12:00:00+00:00", "the last day ends at UTC-12"
    assert "DRAFT" not in variables["status"]
    assert {"ACTIVE", "PAST", "CANCELLED"} <= set(variables["status"])


def test_no_attendance_is_asked_for():
    with FakeMeetup(count=10, groups=1) as service:
        found = fetch_from(service, window=MONTH)
    assert "rsvps" not in found.events[0].payload
    assert "going" not in json.loads(service.requests[0].request.body)["query"]


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"groups": "a", "token": TOKEN}, []),
        ({"token": TOKEN}, ["MEETUP_GROUPS"]),
        ({"groups": "a", "client_key": "k", "member_id": "1"}, ["MEETUP_SIGNING_KEY_ID", "MEETUP_SIGNING_KEY"]),
        ({"groups": "a", "client_key": "k", "member_id": "1", "signing_key_id": "i", "signing_key": "p"}, []),
    ],
)
def test_settings_say_what_is_missing(values: dict[str, Any], missing: list[str]):
    assert MeetupSettings(**values).missing() == missing


def test_with_nothing_set_both_ways_to_sign_in_are_named():
    source = build("meetup", {})
    groups, sign_in = source.settings.missing()
    assert groups == "MEETUP_GROUPS"
    assert "MEETUP_TOKEN" in sign_in
    assert "MEETUP_CLIENT_KEY" in sign_in
    with pytest.raises(PermanentError, match="MEETUP_GROUPS"):
        fetch(source)


def test_groups_are_read_from_names_and_addresses():
    text = "pyladies-mtl, https://www.meetup.com/Montreal-Python/events/ \n meetup.com/fr-FR/x-y_z/?a=b,pyladies-mtl"
    assert MeetupSettings(groups=text).urlnames() == ["pyladies-mtl", "Montreal-Python", "x-y_z"]
