"""The arithmetic of pacing: a token bucket that mirrors the provider's, as values and pure functions.

A bucket is known by the time at which it was, or will be, empty (GCRA: the theoretical arrival time). Its level at
`now` is `(now - empty_at) * rate`; a negative level is work that has been promised for later. Times are Unix seconds
on the clock of the store, so that processes on several machines agree.

Where the rate comes from: `header` (x-ratelimit-limit-*), `refusal` (Gemini names the limit when it refuses),
`configured`, or `start` / `adapted`: raised with care while nothing is refused, cut sharply when something is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from resources.llm.errors import QuotaScope

Dimension = Literal["requests", "tokens"]
Learned = Literal["start", "configured", "header", "refusal", "adapted"]

SAFETY = 0.98
"""Share of the limit that is used. At exactly the limit every repeated call is one too many."""
CREDIT_SECONDS = 0.4
"""Credit that may be saved up at any rate, so that slots lost to a late event loop are caught up."""
START_RATE = 2.0
"""Requests a second before anything is known. The first answer tells more, a third of a second later."""
MARGIN = 2.0
"""Units left in the provider's bucket: calls overtake one another on the way."""
FIRST_CEILING = 8.0
CUT = 0.7
CUT_RAMPING = 0.5
RAISE = 1.02
RAISE_UNTOUCHED = 1.5
"""A start rate that was never refused is probably far too low: it grows faster until the first refusal."""
CLEAN_SECONDS = 10.0
NAMED_LIMIT_HOLDS = 3600.0
"""Seconds for which a limit that a refusal named is not exceeded to find out whether it still holds."""
DAILY_WINDOW = 7200.0
"""Seconds. A refill slower than this is a daily limit's: OpenAI's lowest tiers send 10000 with a reset of 8.64 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One dimension of one account and model. `rate` is None while no limit is known: then it holds nothing back."""

    empty_at: float
    rate: float | None
    learned: Learned
    ceiling: float = 0.0
    granted: float = 0.0
    slowed_at: float = 0.0
    raised_at: float = 0.0
    refusals: int = 0

    @property
    def capacity(self) -> float:
        """Units that may be saved up."""
        return max(1.0, (self.rate or 0.0) * CREDIT_SECONDS / (1 + self.refusals), self.ceiling)

    def level(self, now: float) -> float:
        """Units available at `now`; negative when they are promised already."""
        return 0.0 if self.rate is None else min(self.capacity, (now - self.empty_at) * self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Nothing may be sent until then, by any process."""

    until: float
    scope: QuotaScope
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Both dimensions of one account and model, as one row each in the store."""

    requests: Bucket
    tokens: Bucket
    block: Block | None = None

    def blocked(self, now: float) -> Block | None:
        return self.block if self.block is not None and self.block.until > now else None


@dataclass(frozen=True, slots=True)
class Limit:
    """What the headers of one answer say about one dimension."""

    limit: float
    """Units per minute, or per day: see `window`."""
    remaining: float | None
    reset: float | None
    """Seconds until the bucket is full again; an upper bound for any wait."""

    @property
    def window(self) -> float:
        """Seconds that `limit` is for. 60, unless the refill that the headers imply can only be a daily limit's."""
        if self.reset is None or self.remaining is None or self.remaining >= self.limit or self.reset <= 0:
            return 60.0
        implied = self.limit * self.reset / (self.limit - self.remaining)
        return 86_400.0 if implied > DAILY_WINDOW else 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer says about both dimensions; None where it says nothing usable."""

    requests: Limit | None = None
    tokens: Limit | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """Leave to send one call at `due`. The two marks say how much had been handed out then, by all processes."""

    due: float
    tokens: float
    requests_mark: float
    tokens_mark: float


def fresh(now: float, *, requests_per_minute: float | None, tokens_per_minute: float | None, start: float) -> Pace:
    """The pace of an account that was never used. `start` is in requests per second."""
    requests = (
        Bucket(empty_at=now - 1.0 / start, rate=start, learned="start", raised_at=now)
        if requests_per_minute is None
        else _configured(now, requests_per_minute)
    )
    tokens = (
        Bucket(empty_at=now, rate=None, learned="start")
        if tokens_per_minute is None
        else _configured(now, tokens_per_minute)
    )
    return Pace(requests=requests, tokens=tokens)


def _configured(now: float, per_minute: float) -> Bucket:
    rate = per_minute / 60 * SAFETY
    # One unit to begin with; what the provider's bucket holds is learnt from its answers.
    return Bucket(empty_at=now - 1.0 / rate, rate=rate, learned="configured", raised_at=now)


def reserve(pace: Pace, now: float, token_costs: Sequence[float]) -> tuple[Pace, list[Slot]]:
    """Slots for some calls in order, each with the tokens that it will be charged with."""
    requests, tokens, slots = pace.requests, pace.tokens, []
    for cost in token_costs:
        requests, requests_due = _take(requests, now, 1.0)
        tokens, tokens_due = _take(tokens, now, cost)
        slots.append(Slot(max(now, requests_due, tokens_due), cost, requests.granted, tokens.granted))
    return replace(pace, requests=requests, tokens=tokens), slots


def _take(bucket: Bucket, now: float, units: float) -> tuple[Bucket, float]:
    granted = bucket.granted + units
    if bucket.rate is None:
        return replace(bucket, granted=granted), now
    empty_at = max(bucket.empty_at, now - bucket.capacity / bucket.rate) + units / bucket.rate
    return replace(bucket, empty_at=empty_at, granted=granted), empty_at


def give_back(pace: Pace, unused: Sequence[Slot]) -> Pace:
    """Return slots that were taken and never used."""
    requests = _untake(pace.requests, float(len(unused)))
    return replace(pace, requests=requests, tokens=_untake(pace.tokens, sum(slot.tokens for slot in unused)))


def _untake(bucket: Bucket, units: float) -> Bucket:
    empty_at = bucket.empty_at if bucket.rate is None else bucket.empty_at - units / bucket.rate
    return replace(bucket, empty_at=empty_at, granted=bucket.granted - units)


def observe(pace: Pace, now: float, limits: Limits, slot: Slot, *, correction: float = 0.0) -> Pace:
    """Learn from an answered call: from its headers, or, without any, that the pace was fine.

    `correction` is the sum of tokens that calls turned out to cost beyond what was reserved; negative gives back. It
    counts only where no header tells what the provider really charged.
    """
    age = max(0.0, now - slot.due)
    requests = _learn(pace.requests, now, limits.requests, slot.requests_mark, unit=1.0, age=age)
    tokens = _learn(pace.tokens, now, limits.tokens, slot.tokens_mark, unit=slot.tokens, age=age)
    if limits.tokens is None and tokens.rate is not None and correction:
        tokens = replace(tokens, empty_at=tokens.empty_at + correction / tokens.rate)
    return replace(pace, requests=requests, tokens=tokens)


def _learn(bucket: Bucket, now: float, limit: Limit | None, mark: float, *, unit: float, age: float) -> Bucket:
    """`unit` is what the answered call cost in this dimension, `age` the seconds since its slot was due."""
    if limit is None or limit.window != 60.0:
        # A daily limit says nothing of the pace by the minute.
        return _raised(bucket, now)
    rate = limit.limit / 60.0 * SAFETY
    # A pace that the user has set may be lower than the account's limit: the rest is meant for others.
    kept = bucket.learned == "configured" and bucket.rate is not None and bucket.rate < rate * 0.999
    if not kept and (bucket.rate is None or bucket.learned != "header" or abs(rate / bucket.rate - 1) > 1e-6):
        bucket = _at_rate(bucket, now, rate, "header")
    if limit.remaining is None:
        return bucket
    if kept:
        return bucket
    # What the provider had left when it let this call in, less everything that was handed out since.
    left = limit.remaining - (bucket.granted - mark)
    return _towards(bucket, now, left, unit=unit, age=age)


def _towards(bucket: Bucket, now: float, left: float, *, unit: float, age: float) -> Bucket:
    """Correct the level by what the provider says is left: down at once, up as far as its word has proved good."""
    assert bucket.rate is not None  # noqa: S101 - callers have looked
    level = bucket.level(now)
    ceiling = bucket.ceiling
    spare = left - MARGIN * unit
    if spare > level and spare > 0:
        # Doubled while no credit was ever refused, then by a twentieth: headers may promise a minute's worth where
        # the door admits a second's.
        first = FIRST_CEILING * unit
        step = max(first, 2 * ceiling) if bucket.refusals == 0 else max(unit, ceiling * 1.05)
        ceiling = max(ceiling, min(spare, step))
        level = max(level, min(spare, ceiling))
    elif left + bucket.rate * age < level - bucket.rate * CREDIT_SECONDS:
        # Somebody else uses the account.
        level = min(level, max(left + bucket.rate * age, 0.0))
    return replace(bucket, empty_at=now - level / bucket.rate, ceiling=ceiling)


def _at_rate(bucket: Bucket, now: float, rate: float, learned: Learned) -> Bucket:
    """Another rate, the same level: promises that were made at the old rate are kept in units, not in seconds."""
    level = max(-1.0, bucket.level(now)) if bucket.learned == "start" else bucket.level(now)
    return replace(bucket, rate=rate, learned=learned, empty_at=now - level / rate)


def _raised(bucket: Bucket, now: float) -> Bucket:
    if bucket.rate is None or bucket.learned in ("configured", "header"):
        return bucket
    known = bucket.learned == "refusal" and now - bucket.slowed_at < NAMED_LIMIT_HOLDS
    too_soon = now - max(bucket.raised_at, bucket.slowed_at) < CLEAN_SECONDS
    # A pace that nobody uses up proves nothing; raised all the same, it would end far above any limit.
    unused = bucket.level(now) >= 1.0
    if known or too_soon or unused:
        return bucket
    factor = RAISE_UNTOUCHED if bucket.refusals == 0 else RAISE
    return replace(_at_rate(bucket, now, bucket.rate * factor, "adapted"), raised_at=now)


def configured(
    pace: Pace, now: float, *, requests_per_minute: float | None, tokens_per_minute: float | None, start: float
) -> Pace:
    """The pace with the user's limits of today in the place of those of the day when the row was made."""
    new = fresh(now, requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute, start=start)
    return replace(
        pace,
        requests=_reconfigured(pace.requests, now, new.requests),
        tokens=_reconfigured(pace.tokens, now, new.tokens),
    )


def _reconfigured(bucket: Bucket, now: float, new: Bucket) -> Bucket:
    if new.learned != "configured":
        # No limit is set any more: one that was set before is forgotten, one that was learnt is not.
        return replace(new, granted=bucket.granted) if bucket.learned == "configured" else bucket
    if bucket.learned == "header" and bucket.rate is not None and new.rate is not None and bucket.rate <= new.rate:
        return bucket
    if bucket.learned == "configured" and bucket.rate == new.rate:
        return bucket
    assert new.rate is not None  # noqa: S101 - a configured bucket has a rate
    return _at_rate(bucket, now, new.rate, "configured")


def refuse(
    pace: Pace,
    now: float,
    *,
    retry_after: float | None,
    dimension: Dimension | None,
    limit_per_minute: float | None,
    ramping: bool,
    granted_at: float,
) -> Pace:
    """A call was refused for its pace. Everybody waits as long as the provider says.

    Calls that were under way together are refused together: only the first of them slows the pace, which
    `granted_at`, the time of its slot, tells.
    """
    wait = retry_after or 0.0
    if dimension == "tokens" and pace.tokens.rate is not None:
        return replace(
            pace,
            tokens=_slowed(pace.tokens, now, wait, limit_per_minute, ramping=ramping, granted_at=granted_at),
            # The named delay holds for the account: the other dimension waits with it.
            requests=_pushed(pace.requests, now, wait),
        )
    requests = _slowed(
        pace.requests,
        now,
        wait,
        limit_per_minute if dimension != "tokens" else None,
        ramping=ramping,
        granted_at=granted_at,
    )
    tokens = pace.tokens
    # A plan that does not offer the model names a limit of 0: no rate can be made of it, and time will not help.
    if dimension == "tokens" and limit_per_minute is not None and limit_per_minute > 0:
        tokens = Bucket(empty_at=now + wait, rate=limit_per_minute / 60 * SAFETY, learned="refusal", slowed_at=now)
    return replace(pace, requests=requests, tokens=tokens)


def _slowed(
    bucket: Bucket, now: float, wait: float, limit: float | None, *, ramping: bool, granted_at: float
) -> Bucket:
    if granted_at <= bucket.slowed_at:
        return _pushed(bucket, now, wait)
    # A refusal says that the bucket over there is empty, whatever was believed about credit.
    bucket = replace(bucket, ceiling=bucket.ceiling / 2, slowed_at=now, raised_at=now, refusals=bucket.refusals + 1)
    bucket = replace(bucket, empty_at=max(bucket.empty_at, now))
    if limit is not None and limit > 0:
        bucket = _at_rate(bucket, now, limit / 60 * SAFETY, "refusal")
    elif bucket.rate is not None and (ramping or bucket.learned in ("start", "adapted", "refusal")):
        bucket = _at_rate(bucket, now, bucket.rate * (CUT_RAMPING if ramping else CUT), "adapted")
    return _pushed(bucket, now, wait)


def _pushed(bucket: Bucket, now: float, wait: float) -> Bucket:
    return replace(bucket, empty_at=max(bucket.empty_at, now + wait)) if wait > 0 else bucket


def blocked(pace: Pace, until: datetime, scope: QuotaScope, reason: str) -> Pace:
    """Nothing is sent until `until`. A longer block that stands already is kept."""
    moment = until.astimezone(UTC).timestamp()
    if pace.block is not None and pace.block.until >= moment:
        return pace
    return replace(pace, block=Block(until=moment, scope=scope, reason=reason))
