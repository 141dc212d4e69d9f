"""Delays and limits, wherever providers write them. Examples are from their documentation and their users' reports."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from resources.llm import hints
from resources.llm.pacing.bucket import Limit

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12ms", 0.012),
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("53.016342224s", 53.016342224),
        ("500µs", 0.0005),
        ("0s", 0.0),
        ("", None),
        (None, None),
        ("soon", None),
        ("12", None),
        ("1s later", None),
    ],
)
def test_go_durations_are_read_whole_or_not_at_all(text: str | None, seconds: float | None) -> None:
    assert hints.go_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("message", "never"),
    [
        ("Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40381. Reduce it.", True),
        ("Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30,000, Used 0, Requested 30,001.", True),
        ("Rate limit reached: Limit 30000, Used 29900, Requested 200. Please try again in 2s.", False),
        ("Rate limit reached for gpt-4o in organization org-x on requests per min (RPM): Limit 3, Used 3.", False),
        (None, False),
    ],
)
def test_a_request_that_no_minute_has_room_for_is_told_from_one_that_may_wait(message: str | None, never: bool) -> None:
    assert hints.never_fits(message) is never


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3.0),
        ({"retry-after": "1e300"}, hints.LONGEST),
        ({"retry-after-ms": "99999999999999999999"}, hints.LONGEST),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, hints.LONGEST),
        ({"retry-after": "Fri, 31 Dec 99999999999999999999 23:59:59 GMT"}, None),
        ({"retry-after": "999999999999h"}, hints.LONGEST),
        ({}, None),
    ],
)
def test_retry_after_is_milliseconds_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert hints.retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached for gpt-4o on requests per min. Please try again in 772ms. Visit https://x", 0.772),
        ("Please try again in 6m0s.", 360.0),
        ("Please retry in 53.016342224s.", 53.016342224),
        ("please retry after 20 seconds", 20.0),
        ("Try again in 1h2m", 3720.0),
        ("You exceeded your current quota, please check your plan", None),
        ("", None),
        (None, None),
    ],
)
def test_a_delay_is_found_in_the_text_of_a_message(message: str | None, seconds: float | None) -> None:
    assert hints.delay_in_text(message) == pytest.approx(seconds)


def test_limits_come_from_the_headers_of_both_dimensions() -> None:
    limits = hints.limits(
        {
            "x-ratelimit-limit-requests": "5000",
            "x-ratelimit-remaining-requests": "4999",
            "x-ratelimit-reset-requests": "12ms",
            "x-ratelimit-limit-tokens": "160000",
            "x-ratelimit-remaining-tokens": "159976",
            "x-ratelimit-reset-tokens": "9ms",
        }
    )

    assert limits.requests == Limit(5000.0, 4999.0, pytest.approx(0.012))
    assert limits.tokens == Limit(160_000.0, 159_976.0, pytest.approx(0.009))
    assert limits.requests is not None
    assert limits.requests.window == 60.0


@pytest.mark.parametrize("limit", ["-1", "0", "", "many"])
def test_a_limit_that_says_nothing_is_unknown(limit: str) -> None:
    # Azure sends -1 and 0; taken literally they would stop everything.
    assert hints.limits({"x-ratelimit-limit-requests": limit, "x-ratelimit-remaining-requests": "0"}).requests is None


def test_a_limit_that_refills_over_a_day_is_not_taken_for_one_by_the_minute() -> None:
    # The lowest tiers: 10,000 a day, one used, full again in 8.64 s.
    limit = hints.limits(
        {
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-reset-requests": "8.64s",
        }
    ).requests

    assert limit is not None
    assert limit.window == 86_400.0


def violation(quota_id: str, value: str = "10") -> dict[str, object]:
    return {"quotaId": quota_id, "quotaValue": value, "quotaMetric": "m", "quotaDimensions": {}}


def body(*violations: dict[str, object], delay: str | None = "53s") -> dict[str, object]:
    details: list[dict[str, object]] = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}
    ]
    if delay is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": details}}


MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
TOKENS = "GenerateContentInputTokensPerModelPerMinute-FreeTier"
DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"


def test_the_fraction_that_retry_delay_drops_is_made_good() -> None:
    assert hints.gemini_quota(body(violation(MINUTE), delay="58s"), None).delay == 59.0
    said = hints.gemini_quota(body(violation(MINUTE), delay="58s"), "Please retry in 58.934310785s.")
    assert said.delay == pytest.approx(58.934310785)


def test_a_refusal_names_the_limit_and_its_dimension() -> None:
    requests = hints.gemini_quota(body(violation(MINUTE, "15")), None)
    tokens = hints.gemini_quota(body(violation(TOKENS, "250000")), None)

    assert (requests.dimension, requests.limit_per_minute, requests.per_day) == ("requests", 15.0, False)
    assert (tokens.dimension, tokens.limit_per_minute) == ("tokens", 250_000.0)


def test_a_day_beside_a_minute_is_a_day() -> None:
    assert hints.gemini_quota(body(violation(MINUTE), violation(DAY)), "Please retry in 5s.").per_day
    assert hints.gemini_quota([body(violation(DAY))], None).per_day, "the body also comes inside a list of one"


def test_a_bare_refusal_says_only_that_it_was_too_fast() -> None:
    bare = hints.gemini_quota({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, "Resource has been exhausted")

    assert bare == hints.GeminiQuota(None, per_day=False, dimension=None, limit_per_minute=None, detailed=False)


def test_a_delay_beyond_any_quota_still_makes_a_date() -> None:
    said = hints.gemini_quota(body(violation(MINUTE), delay="999999999999999s"), None)
    spoken = hints.gemini_quota({}, "Please retry in 999999999999999s.")

    assert said.delay == hints.LONGEST + hints.TRUNCATED
    assert spoken.delay == hints.LONGEST


def test_the_protobuf_messages_of_the_grpc_transport_are_read_too() -> None:
    retry = SimpleNamespace(retry_delay=SimpleNamespace(seconds=34, nanos=500_000_000))
    quota = SimpleNamespace(violations=[SimpleNamespace(subject="", description=f"Quota exceeded: {DAY}")])

    assert hints.gemini_quota([retry], None).delay == pytest.approx(35.5)
    assert hints.gemini_quota([quota, retry], None).per_day


def test_details_as_the_rest_transport_of_the_old_sdk_gives_them_are_a_list() -> None:
    details = [{"violations": [violation(MINUTE, "15")]}, {"retryDelay": "34s"}]

    assert hints.gemini_quota(details, None).delay == 35.0


@pytest.mark.parametrize(
    ("now", "reset"),
    [
        (datetime(2026, 1, 15, 7, 59, tzinfo=UTC), datetime(2026, 1, 15, 8, 5, tzinfo=UTC)),
        (datetime(2026, 1, 15, 8, 1, tzinfo=UTC), datetime(2026, 1, 16, 8, 5, tzinfo=UTC)),
        (datetime(2026, 7, 1, 12, 0, tzinfo=UTC), datetime(2026, 7, 2, 7, 5, tzinfo=UTC)),
        (datetime(2026, 3, 8, 12, 0, tzinfo=UTC), datetime(2026, 3, 9, 7, 5, tzinfo=UTC)),
    ],
)
def test_daily_quotas_come_back_after_midnight_in_california(now: datetime, reset: datetime) -> None:
    assert hints.next_pacific_midnight(now) == reset
