"""Times that decide when a worker is dead and a job is hung, and the refusal of times that contradict each other.

A lease that is shorter than a beat may take calls living workers dead, and their jobs run twice. That is found out
at start-up and not in production.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class JobSettings(BaseSettings):
    """How the queue of asynchronous jobs is worked off. Read from the environment when asked."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    concurrency: int = Field(
        default=4,
        validation_alias="INGESTION_JOB_CONCURRENCY",
        ge=1,
        le=64,
        description="Jobs that one worker runs at once. They mostly wait for networks.",
    )
    timeout_seconds: float = Field(
        default=300.0,
        validation_alias="INGESTION_JOB_TIMEOUT_SECONDS",
        gt=0,
        description="Time of one attempt, unless its kind allows more.",
    )
    beat_seconds: float = Field(
        default=5.0,
        validation_alias="INGESTION_JOB_BEAT_SECONDS",
        gt=0,
        description="Between two heartbeats of a worker that has work.",
    )
    beat_timeout_seconds: float = Field(
        default=10.0,
        validation_alias="INGESTION_JOB_BEAT_TIMEOUT_SECONDS",
        gt=0,
        description="Longest that one statement of a worker may take.",
    )
    lease_seconds: float = Field(
        default=30.0,
        validation_alias="INGESTION_JOB_LEASE_SECONDS",
        gt=0,
        description="Silence after which a worker is dead, even if its connection lives.",
    )
    missed_beats_seconds: float = Field(
        default=10.0,
        validation_alias="INGESTION_JOB_MISSED_BEATS_SECONDS",
        gt=0,
        description="Silence after which a worker without its lock is dead: a restarted server drops everybody's locks.",
    )
    first_poll_seconds: float = Field(
        default=2.0, validation_alias="INGESTION_JOB_POLL_SECONDS", gt=0, description="First wait after the last job."
    )
    longest_poll_seconds: float = Field(
        default=30.0,
        validation_alias="INGESTION_JOB_LONGEST_POLL_SECONDS",
        gt=0,
        description="Longest wait between two looks at an empty queue; NOTIFY wakes earlier.",
    )
    grace_seconds: float = Field(
        default=8.0,
        validation_alias="INGESTION_JOB_GRACE_SECONDS",
        ge=0,
        description="Time that jobs have to end after SIGTERM before they go back to the queue.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        worst = self.beat_seconds + self.beat_timeout_seconds
        if self.lease_seconds <= worst:
            raise ValueError(
                f"INGESTION_JOB_LEASE_SECONDS={self.lease_seconds:g} calls living workers dead: a beat every "
                f"{self.beat_seconds:g} s that may take {self.beat_timeout_seconds:g} s needs a lease over {worst:g} s"
            )
        if not self.beat_seconds < self.missed_beats_seconds <= self.lease_seconds:
            raise ValueError(
                f"INGESTION_JOB_MISSED_BEATS_SECONDS={self.missed_beats_seconds:g} has to lie between one beat "
                f"({self.beat_seconds:g} s) and the lease ({self.lease_seconds:g} s)"
            )
        if self.longest_poll_seconds < self.first_poll_seconds:
            raise ValueError("INGESTION_JOB_LONGEST_POLL_SECONDS is shorter than INGESTION_JOB_POLL_SECONDS")
        return self

    @property
    def lease(self) -> timedelta:
        """Silence of a dead worker."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def missed_beats(self) -> timedelta:
        """Silence of a dead worker whose lock is gone."""
        return timedelta(seconds=self.missed_beats_seconds)
