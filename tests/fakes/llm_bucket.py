"""Admission as a provider does it: one token bucket for each key, model and dimension.

A bucket holds `limit / 60 * capacity_seconds`, is full at the start and refills continuously. A request enters only if
both dimensions have room; it is charged by the larger of its estimated prompt and its output ceiling.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Bucket:
    per_minute: float
    capacity: float
    level: float
    at: float

    @classmethod
    def full(cls, per_minute: float, capacity_seconds: float, now: float) -> Bucket:
        capacity = max(1.0, per_minute / 60 * capacity_seconds)
        return cls(per_minute, capacity, capacity, now)

    def refill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + (now - self.at) * self.per_minute / 60)
        self.at = now

    def wait_for(self, units: float) -> float:
        """Seconds until `units` fit."""
        return max(0.0, (units - self.level) * 60 / self.per_minute)

    @property
    def until_full(self) -> float:
        return (self.capacity - self.level) * 60 / self.per_minute


@dataclass(slots=True)
class Verdict:
    admitted: bool
    kind: str = ""
    """Of a refusal: requests, tokens or day."""
    wait: float = 0.0


@dataclass(slots=True)
class Admission:
    """The buckets of one key and model."""

    requests: Bucket | None
    tokens: Bucket | None
    per_day: int | None = None
    drain_on_reject: bool = False
    used_today: int = 0
    minute_window: list[float] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        *,
        rpm: float | None,
        tpm: float | None,
        capacity_seconds: float,
        per_day: int | None,
        drain_on_reject: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> Admission:
        now = clock()
        return cls(
            None if rpm is None else Bucket.full(rpm, capacity_seconds, now),
            None if tpm is None else Bucket.full(tpm, capacity_seconds, now),
            per_day,
            drain_on_reject,
        )

    def admit(self, tokens: float, now: float) -> Verdict:
        buckets = (("requests", self.requests, 1.0), ("tokens", self.tokens, tokens))
        for _, bucket, _ in buckets:
            if bucket is not None:
                bucket.refill(now)
        if self.per_day is not None and self.used_today >= self.per_day:
            return Verdict(admitted=False, kind="day", wait=6 * 3600.0)
        for kind, bucket, units in buckets:
            if bucket is None or bucket.level >= min(units, bucket.capacity):
                continue
            wait = bucket.wait_for(min(units, bucket.capacity))
            if self.drain_on_reject and self.requests is not None:
                # "Unsuccessful requests contribute to your per-minute limit."
                self.requests.level = max(-self.requests.capacity, self.requests.level - 1.0)
            return Verdict(admitted=False, kind=kind, wait=wait)
        for _, bucket, units in buckets:
            if bucket is not None:
                bucket.level -= units
        self.used_today += 1
        self.minute_window = [moment for moment in self.minute_window if moment > now - 60]
        self.minute_window.append(now)
        return Verdict(admitted=True)
