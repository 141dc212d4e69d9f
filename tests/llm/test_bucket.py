"""The arithmetic of pacing, on a clock that the test sets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.llm.pacing import bucket as arithmetic
from resources.llm.pacing.bucket import Bucket, Dimension, Limit, Limits, Pace, Slot
from tests.fakes.llm_bucket import Admission

T0 = 1_000_000.0


def fresh(rpm: float | None = None, tpm: float | None = None, start: float = 2.0) -> Pace:
    return arithmetic.fresh(T0, requests_per_minute=rpm, tokens_per_minute=tpm, start=start)


def take(pace: Pace, now: float, *costs: float) -> tuple[Pace, list[float]]:
    pace, slots = arithmetic.reserve(pace, now, costs or [1.0])
    return pace, [slot.due for slot in slots]


def refuse_with(limit: float) -> Pace:
    return arithmetic.refuse(
        fresh(),
        T0,
        retry_after=None,
        dimension="requests",
        limit_per_minute=limit,
        ramping=False,
        granted_at=T0,
    )


def headers(limit: float, remaining: float, reset: float = 0.1) -> Limits:
    return Limits(requests=Limit(limit, remaining, reset))


def slot(pace: Pace, due: float = T0, tokens: float = 100.0) -> Slot:
    return Slot(due, tokens, pace.requests.granted, pace.tokens.granted)


def test_slots_follow_one_another_at_the_rate() -> None:
    pace, due = take(fresh(rpm=60), T0, 1, 1, 1)

    step = 1 / arithmetic.SAFETY
    assert due == pytest.approx([T0, T0 + step, T0 + 2 * step])
    assert pace.requests.granted == 3


def test_idle_time_is_saved_up_only_as_far_as_the_credit() -> None:
    pace = fresh(rpm=1200)
    _, due = take(pace, T0 + 3600, *[1.0] * 12)

    at_once = [moment for moment in due if moment == T0 + 3600]
    assert len(at_once) == int(20 * arithmetic.SAFETY * arithmetic.CREDIT_SECONDS)


def test_tokens_hold_a_call_back_that_requests_would_let_go() -> None:
    pace = fresh(rpm=6000, tpm=60_000)
    _, due = take(pace, T0, 1000, 1000)

    assert due[1] - due[0] == pytest.approx(1000 / (1000 * arithmetic.SAFETY))


def test_an_unknown_token_limit_holds_nothing_back() -> None:
    _, due = take(fresh(rpm=60), T0, 10_000_000)

    assert due == [T0]


def test_the_limit_is_learnt_from_one_answer_and_used_just_below() -> None:
    pace = fresh()
    learnt = arithmetic.observe(pace, T0 + 0.3, headers(1200, 19), slot(pace))

    assert learnt.requests.learned == "header"
    assert learnt.requests.rate == pytest.approx(20 * arithmetic.SAFETY)


def test_what_the_provider_says_is_left_is_spent_at_once_but_for_a_margin() -> None:
    pace, _ = take(fresh(rpm=30), T0)
    for _ in range(6):
        pace = arithmetic.observe(pace, T0 + 0.3, headers(30, 29), slot(pace))
    _, due = take(pace, T0 + 0.3, *[1.0] * 40)

    at_once = sum(moment <= T0 + 0.31 for moment in due)
    assert at_once == 27


def test_calls_that_are_under_way_are_not_spent_twice() -> None:
    pace, _ = take(fresh(rpm=1200), T0)
    mine = slot(pace)
    pace, _ = take(pace, T0 + 0.1, *[1.0] * 15)
    pace = arithmetic.observe(pace, T0 + 0.3, headers(1200, 16), mine)
    _, due = take(pace, T0 + 0.3, *[1.0] * 20)

    # 16 left when this call came in, 15 handed out since: nothing may be added to what was saved up anyway.
    assert sum(moment <= T0 + 0.3 for moment in due) <= 20 * arithmetic.CREDIT_SECONDS


def test_credit_is_trusted_step_by_step() -> None:
    # The headers promise a minute's worth; whether the door admits a burst of it is not known yet.
    pace, _ = take(fresh(rpm=6000), T0)
    ceilings = []
    for step in range(4):
        pace = arithmetic.observe(pace, T0 + 0.3 + step, headers(6000, 5000), slot(pace, T0 + step))
        ceilings.append(pace.requests.ceiling)

    assert ceilings == [8, 16, 32, 64]


def test_a_refusal_ends_the_trust_in_credit() -> None:
    pace = replace(fresh(rpm=1200), requests=replace(fresh(rpm=1200).requests, ceiling=64.0))
    refused = refuse(pace, T0 + 1)

    assert refused.requests.ceiling == 32
    assert refused.requests.level(T0 + 1) <= 0
    grown = arithmetic.observe(refused, T0 + 2, headers(1200, 1000), slot(refused, T0 + 2))
    assert grown.requests.ceiling == pytest.approx(32 * 1.05)


def test_somebody_else_on_the_account_is_noticed() -> None:
    pace, _ = take(fresh(rpm=1200), T0)
    pace = replace(pace, requests=replace(pace.requests, ceiling=20.0, empty_at=T0 - 2))
    mine = slot(pace, T0 + 0.2)
    before = pace.requests.level(T0 + 0.3)
    after = arithmetic.observe(pace, T0 + 0.3, headers(1200, 1), mine).requests.level(T0 + 0.3)

    assert before > 15
    assert after < 5


def test_an_answer_never_shortens_a_wait_that_was_promised_to_others() -> None:
    pace, _ = take(fresh(rpm=60), T0, *[1.0] * 10)
    before = pace.requests.level(T0)
    after = arithmetic.observe(pace, T0, headers(60, 0), Slot(T0, 1.0, 0.0, 0.0)).requests.level(T0)

    assert after <= before


def refuse(pace: Pace, now: float, **changes: object) -> Pace:
    facts: dict[str, object] = {
        "retry_after": None,
        "dimension": "requests",
        "limit_per_minute": None,
        "ramping": False,
        "granted_at": now,
    }
    return arithmetic.refuse(pace, now, **(facts | changes))  # type: ignore[arg-type]


def test_a_named_delay_holds_for_everybody_and_is_never_undercut() -> None:
    _, due = take(refuse(fresh(rpm=6000), T0, retry_after=34.0), T0 + 0.1, 1, 1)

    assert min(due) >= T0 + 34


def test_calls_refused_together_slow_the_pace_once() -> None:
    pace = replace(fresh(), requests=replace(fresh().requests, learned="adapted", rate=10.0))
    once = refuse(pace, T0 + 1, granted_at=T0 + 0.5)
    twice = refuse(once, T0 + 1.1, granted_at=T0 + 0.6)
    later = refuse(twice, T0 + 3, granted_at=T0 + 2)

    assert once.requests.rate == pytest.approx(10 * arithmetic.CUT)
    assert twice.requests.rate == once.requests.rate
    assert later.requests.rate == pytest.approx(10 * arithmetic.CUT**2)


def test_too_steep_a_rise_cuts_deeper_than_a_limit_that_was_passed() -> None:
    pace = replace(fresh(), requests=replace(fresh().requests, learned="adapted", rate=10.0))

    assert refuse(pace, T0 + 1, ramping=True).requests.rate == pytest.approx(5.0)


def test_a_limit_in_the_refusal_is_taken_over() -> None:
    pace = refuse(fresh(), T0 + 1, limit_per_minute=15.0)

    assert pace.requests.learned == "refusal"
    assert pace.requests.rate == pytest.approx(15 / 60 * arithmetic.SAFETY)


def test_a_token_limit_in_the_refusal_starts_the_token_bucket() -> None:
    pace = refuse(fresh(), T0 + 1, dimension="tokens", limit_per_minute=250_000.0, retry_after=3.0)

    assert pace.tokens.rate == pytest.approx(250_000 / 60 * arithmetic.SAFETY)
    _, due = take(pace, T0 + 1, 4000.0)
    assert due[0] >= T0 + 4


@pytest.mark.parametrize("dimension", ["requests", "tokens"])
def test_a_limit_of_nothing_leaves_a_pace_that_can_still_be_reckoned_with(dimension: Dimension) -> None:
    pace = refuse(fresh(), T0 + 1, dimension=dimension, limit_per_minute=0.0, retry_after=3.0)
    _, due = take(pace, T0 + 1, 100)

    assert due[0] >= T0 + 4


def test_a_limit_from_headers_is_not_forgotten_for_one_refusal() -> None:
    pace = arithmetic.observe(fresh(), T0, headers(1200, 19), slot(fresh()))

    assert refuse(pace, T0 + 1).requests.rate == pace.requests.rate


def test_without_headers_the_pace_rises_while_nothing_is_refused() -> None:
    def busy(pace: Pace, since: int, until: int) -> Pace:
        for second in range(since, until):
            pace, _ = take(pace, T0 + second, *[1.0] * 10)
            pace = arithmetic.observe(pace, T0 + second, Limits(), slot(pace))
        return pace

    pace = busy(fresh(start=1.0), 1, 31)
    untouched = pace.requests.rate
    refused = busy(refuse(pace, T0 + 31), 32, 62)

    assert untouched == pytest.approx(arithmetic.RAISE_UNTOUCHED**3)
    assert untouched is not None
    assert refused.requests.rate is not None
    # Three clean spells after a cut: up by two percent each, no longer by half.
    assert untouched * arithmetic.CUT < refused.requests.rate <= untouched * arithmetic.CUT * arithmetic.RAISE**3


def test_a_pace_that_nobody_uses_up_is_not_raised() -> None:
    pace = fresh(start=1.0)
    for minute in range(1, 600):
        pace, _ = take(pace, T0 + 60 * minute)
        pace = arithmetic.observe(pace, T0 + 60 * minute + 30, Limits(), slot(pace))

    assert pace.requests.rate == 1.0


def test_a_limit_that_the_provider_named_is_not_tried_again_for_an_hour() -> None:
    pace = refuse(fresh(), T0, limit_per_minute=15.0)
    for minute in range(1, 50):
        pace, _ = take(pace, T0 + 60 * minute, *[1.0] * 30)
        pace = arithmetic.observe(pace, T0 + 60 * minute, Limits(), slot(pace))
    named = pace.requests.rate
    pace, _ = take(pace, T0 + 4000, *[1.0] * 30)
    later = arithmetic.observe(pace, T0 + 4000, Limits(), slot(pace)).requests.rate

    assert named == pytest.approx(15 / 60 * arithmetic.SAFETY)
    assert later == pytest.approx(15 / 60 * arithmetic.SAFETY * arithmetic.RAISE)


def test_a_user_who_wants_to_go_slower_than_the_account_may_does() -> None:
    pace = arithmetic.observe(fresh(rpm=60), T0 + 1, headers(6000, 5000), slot(fresh(rpm=60)))

    assert pace.requests.rate == fresh(rpm=60).requests.rate
    _, due = take(pace, T0 + 1, *[1.0] * 5)
    assert due[-1] - due[0] > 3


def test_a_user_who_wants_to_go_faster_than_the_account_may_does_not() -> None:
    pace = arithmetic.observe(fresh(rpm=6000), T0 + 1, headers(60, 0), slot(fresh(rpm=6000)))

    assert pace.requests.rate == pytest.approx(arithmetic.SAFETY)


@pytest.mark.parametrize(
    ("stored", "rpm", "expected"),
    [
        (fresh(rpm=60), 30.0, 30.0),
        (fresh(rpm=60), None, 120.0 / arithmetic.SAFETY),
        (fresh(rpm=60), 60.0, 60.0),
        (refuse_with(15.0), None, 15.0),
        (refuse_with(15.0), 5.0, 5.0),
    ],
)
def test_settings_of_today_hold_over_those_of_yesterday(stored: Pace, rpm: float | None, expected: float) -> None:
    pace = arithmetic.configured(stored, T0 + 5, requests_per_minute=rpm, tokens_per_minute=None, start=2.0)

    assert pace.requests.rate == pytest.approx(expected / 60 * arithmetic.SAFETY)


def test_a_configured_pace_is_the_users_and_stays() -> None:
    pace = fresh(rpm=10)
    for second in range(60):
        pace = arithmetic.observe(pace, T0 + second, Limits(), slot(pace))

    assert pace.requests.rate == fresh(rpm=10).requests.rate


def test_a_daily_limit_in_the_headers_is_not_a_pace() -> None:
    pace = arithmetic.observe(fresh(), T0 + 1, headers(10_000, 9_999, 8.64), slot(fresh()))

    assert pace.requests.learned == "start"


def test_tokens_are_corrected_from_usage_only_where_no_header_counts_them() -> None:
    pace = fresh(rpm=60, tpm=60_000)
    told = arithmetic.observe(pace, T0, Limits(tokens=Limit(60_000, 500, 1.0)), slot(pace), correction=-50_000.0)
    untold = arithmetic.observe(pace, T0, Limits(), slot(pace), correction=500.0)

    assert told.tokens.level(T0) <= 1000
    assert untold.tokens.empty_at - pace.tokens.empty_at == pytest.approx(500 / (1000 * arithmetic.SAFETY))


def test_slots_that_were_not_used_go_back() -> None:
    pace = fresh(rpm=60, tpm=60_000)
    taken, slots = arithmetic.reserve(pace, T0, [100.0, 100.0, 100.0])
    returned = arithmetic.give_back(taken, slots[1:])

    assert returned.requests.granted == 1
    assert returned.tokens.granted == 100
    once, _ = arithmetic.reserve(pace, T0, [100.0])
    assert returned.requests.empty_at == pytest.approx(once.requests.empty_at)


@given(
    rpm=st.floats(30, 6000),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=60),
    latency=st.floats(0.01, 1.0),
)
def test_a_true_bucket_refuses_nobody_who_keeps_the_learnt_pace(rpm: float, gaps: list[float], latency: float) -> None:
    """Whatever the rhythm of callers, a provider with the strict bucket of one second admits every slot."""
    clock = [T0]
    provider = Admission.of(
        rpm=rpm, tpm=None, capacity_seconds=1.0, per_day=None, drain_on_reject=False, clock=lambda: clock[0]
    )
    pace = arithmetic.observe(fresh(), T0, headers(rpm, 0), slot(fresh()))
    sent: list[float] = []
    at = T0
    for gap in gaps:
        at += gap
        pace, slots = arithmetic.reserve(pace, at, [1.0])
        sent.append(slots[0].due)

    refused = sum(not provider.admit(1.0, moment).admitted for moment in sorted(sent))
    assert refused == 0


def test_a_bucket_without_a_rate_has_no_level() -> None:
    assert Bucket(empty_at=T0, rate=None, learned="start").level(T0 + 100) == 0
