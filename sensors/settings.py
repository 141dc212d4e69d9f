"""Thresholds of the sensors. Read at each tick, so that a change needs no new deployment."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingestion_assets.ledger import import_jobs
from ingestion_assets.ledger.stuck_imports import Limits


class SensorSettings(BaseSettings):
    """When something is stuck."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    import_silence_seconds: float = Field(
        default=30.0,
        validation_alias="INGESTION_STUCK_IMPORT_SILENCE_SECONDS",
        description="An import without a heartbeat for this long is closed as ERROR.",
    )
    import_no_progress_seconds: float = Field(
        default=3600.0,
        validation_alias="INGESTION_STUCK_IMPORT_NO_PROGRESS_SECONDS",
        description="An import that commits nothing for this long is closed as ERROR, however well it beats.",
    )
    run_start_seconds: float = Field(
        default=360.0,
        validation_alias="INGESTION_STUCK_RUN_START_SECONDS",
        gt=0,
        description="A run that has not started for this long is failed. Twice what Dagster's own monitoring allows.",
    )
    run_cancel_seconds: float = Field(
        default=120.0,
        validation_alias="INGESTION_STUCK_RUN_CANCEL_SECONDS",
        gt=0,
        description="A run that has been CANCELING for this long is marked as cancelled.",
    )
    run_without_pulse_seconds: float = Field(
        default=120.0,
        validation_alias="INGESTION_STUCK_RUN_WITHOUT_PULSE_SECONDS",
        gt=0,
        description="A started run that no process has ever beaten for is failed after this long.",
    )
    queued_seconds: float = Field(
        default=300.0,
        validation_alias="INGESTION_STUCK_QUEUED_SECONDS",
        gt=0,
        description="A run that is queued for this long although slots are free is reported.",
    )
    slot_seconds: float = Field(
        default=120.0,
        validation_alias="INGESTION_STUCK_SLOT_SECONDS",
        gt=0,
        description="Slots that a finished run has held for this long are freed. Dagster does so after 30 s itself.",
    )
    backfill_seconds: float = Field(
        default=1800.0,
        validation_alias="INGESTION_STUCK_BACKFILL_SECONDS",
        gt=0,
        description="A backfill that has not moved for this long is reported, or ended when it was being cancelled.",
    )
    queue_patience_seconds: float = Field(
        default=15.0,
        validation_alias="INGESTION_JOB_QUEUE_PATIENCE_SECONDS",
        ge=0,
        description="When no worker is up and a job has waited this long, a run is launched that works off the queue.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        shortest = import_jobs.BEAT_EVERY * 2
        if self.import_silence_seconds <= shortest:
            raise ValueError(
                f"INGESTION_STUCK_IMPORT_SILENCE_SECONDS={self.import_silence_seconds:g} closes living imports: they "
                f"beat every {import_jobs.BEAT_EVERY:g} s, so it has to be over {shortest:g}"
            )
        if self.import_no_progress_seconds <= self.import_silence_seconds:
            raise ValueError("INGESTION_STUCK_IMPORT_NO_PROGRESS_SECONDS has to be longer than the silence allowed")
        return self

    @property
    def import_limits(self) -> Limits:
        """The same, as the repair takes it."""
        return Limits(
            silence=timedelta(seconds=self.import_silence_seconds),
            missed_beats=import_jobs.MISSED_BEATS,
            no_progress=timedelta(seconds=self.import_no_progress_seconds),
        )
