"""Settings of the assets: time, partitions and tagging. Each source has its own, in its module."""

from __future__ import annotations

import os
from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class AssetSettings(BaseSettings):
    """Read from the environment when asked."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    timezone: str = Field(
        default="America/Toronto",
        validation_alias="INGESTION_TIMEZONE",
        description="IANA zone in which weeks begin and sources without a zone are read.",
    )
    start_date: date = Field(
        default=date(2020, 1, 6),
        validation_alias="INGESTION_START_DATE",
        description="First week that can be materialized. A Monday.",
    )
    horizon_weeks: int = Field(
        default=52,
        validation_alias="INGESTION_HORIZON_WEEKS",
        ge=0,
        le=520,
        description="Weeks ahead of the running one that can be materialized.",
    )
    refresh_weeks: int = Field(
        default=12,
        validation_alias="INGESTION_REFRESH_WEEKS",
        ge=1,
        le=520,
        validate_default=True,
        description="Weeks, from the running one, that a schedule refreshes; none beyond INGESTION_HORIZON_WEEKS.",
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"INGESTION_TIMEZONE={value!r} is no IANA time zone; write it like America/Toronto"
            ) from None
        return value

    @field_validator("start_date")
    @classmethod
    def _monday(cls, value: date) -> date:
        if value.weekday() != 0:
            raise ValueError(f"INGESTION_START_DATE={value} is a {value:%A}; partitions are weeks that begin on Monday")
        return value

    @field_validator("refresh_weeks")
    @classmethod
    def _that_there_are(cls, value: int, info: ValidationInfo) -> int:
        horizon: int = info.data.get("horizon_weeks", value)
        return min(value, horizon + 1)

    def today(self) -> date:
        """The local date now."""
        return datetime.now(ZoneInfo(self.timezone)).date()


class DeduplicationSettings(BaseSettings):
    """How deduplication is shared out."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    weeks_per_run: int = Field(
        default=26,
        validation_alias="INGESTION_DEDUPLICATION_WEEKS_PER_RUN",
        ge=2,
        le=1000,
        description="Weeks of a backfill that one run deduplicates. Fewer for more workers; a run costs about 3 s of CPU to "
        "start.",
    )
    runs: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        validation_alias="INGESTION_DEDUPLICATION_RUNS",
        ge=1,
        le=1000,
        description="Runs that deduplicate at the same time, each on a core of its own: the limit of the pool "
        "`deduplication`, which a sensor keeps at this. Unset: the cores of the code server's machine.",
    )


class TaggingSettings(BaseSettings):
    """How events are tagged."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    disabled: bool = Field(
        default=False,
        validation_alias="DISABLE_TAG_ENRICHMENT",
        description="`true` skips the tagging of events; the asset says so.",
    )
    max_events_per_run: int | None = Field(
        default=None,
        validation_alias="TAG_ENRICHMENT_MAX_EVENTS_PER_RUN",
        ge=1,
        description="Events that one run asks a provider about; the others stay pending. Unset: no bound.",
    )
    mode: Literal["online", "batch"] = Field(
        default="online",
        validation_alias="TAG_ENRICHMENT_MODE",
        description="`batch` submits to OpenAI's batch mode (half the price, up to a day) and collects with later runs.",
    )
    events_per_prompt: int = Field(
        default=8,
        validation_alias="TAG_ENRICHMENT_EVENTS_PER_PROMPT",
        ge=1,
        le=20,
        description="Events in one prompt. Eight to ten cost a third of one by one; more and answers get lost.",
    )
