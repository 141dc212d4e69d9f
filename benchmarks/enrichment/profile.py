"""What every client is asked to do, and how the provider behaves meanwhile.

Rows are short on purpose: one row a prompt and a schema of five fields, so that the pace is what is measured. `ideal` is
what the limit allows: (rows - what the bucket holds at the start) / rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from tests.fakes.llm_provider import SEVEN_PERCENT

SYSTEM = "Describe the event by its kind. Answer with the fields of the schema and nothing else."
MAX_OUTPUT_TOKENS = 60
KEY = "sk-benchmark"
MODEL = "gpt-4o-mini"


class Kind(StrEnum):
    """Closed list, as real tags are."""

    CONCERT = "concert"
    THEATRE = "theatre"
    SPORT = "sport"
    WORKSHOP = "workshop"
    OTHER = "other"


class Tags(BaseModel):
    """Five fields."""

    event_id: str
    kind: Kind
    indoor: bool
    price_level: int
    language: str


def prompt(row: int) -> str:
    """The question about one row. Its id is what the provider's books list."""
    return f'{{"event_id": "row-{row}", "title": "Concert de jazz numéro {row}", "venue": "Salle {row % 17}"}}'


TOKENS_A_ROW = 191
"""What the provider charges a row of this profile with; measured by `run.py`, which refuses to go on if it drifts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A provider's behaviour and the work to do meanwhile."""

    name: str
    rows: int = 400
    rpm: float = 1200.0
    tpm: float | None = None
    capacity_seconds: float = 1.0
    processes: int = 1
    timeout: float = 30.0
    provider: dict[str, Any] = field(default_factory=dict)
    give_up_after: float = 240.0

    @property
    def config(self) -> dict[str, Any]:
        limits = {"rpm": self.rpm, "tpm": self.tpm, "capacity_seconds": self.capacity_seconds}
        return limits | self.provider

    def ideal(self, tokens_a_row: float) -> float:
        """Seconds at the limit, from a full bucket."""
        by_requests = (self.rows - self.rpm / 60 * self.capacity_seconds) / (self.rpm / 60)
        if self.tpm is None:
            return by_requests
        by_tokens = (self.rows * tokens_a_row - self.tpm / 60 * self.capacity_seconds) / (self.tpm / 60)
        return max(by_requests, by_tokens)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="plain"),
        Scenario(name="faults", timeout=5.0, provider=SEVEN_PERCENT),
        # Fewer, because each takes four times as long as by requests alone.
        Scenario(name="tokens", rows=250, tpm=60_000.0),
        Scenario(name="processes", processes=4),
        Scenario(name="rejections-count", provider={"drain_on_reject": True}),
    )
}
