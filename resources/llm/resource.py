"""The LLM clients as a Dagster resource: typed configuration, secrets from the environment, a client for each task.

    @asset
    def my_asset(llm: LlmResource): ...
        async with llm.client(database=...) as client: ...

Every field overrides the environment variable of the same name; what is left out is read from the environment when the
task begins, not when the code location is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource
from pydantic import Field

from resources.llm.client import build_client
from resources.llm.protocol import Deadline, LlmClient
from resources.llm.settings import LlmSettings
from resources.settings import reading_settings

if TYPE_CHECKING:
    from resources.postgres.database import Database


class LlmResource(ConfigurableResource):  # type: ignore[type-arg]
    """Which providers to ask, and how patiently. Give keys as `EnvVar("OPENAI_API_KEY")`, never as text."""

    llm_providers: str | None = Field(default=None, description="Providers to try in order: openai, gemini, offline")
    llm_deadline_seconds: float | None = Field(default=None, description="Total time of one task")
    llm_concurrency: int | None = Field(default=None, description="Calls in flight in one process")
    openai_api_key: str | None = Field(default=None, description='EnvVar("OPENAI_API_KEY")')
    openai_base_url: str | None = None
    openai_model: str | None = None
    gemini_api_key: str | None = Field(default=None, description='EnvVar("GEMINI_API_KEY")')
    gemini_base_url: str | None = None
    gemini_model: str | None = None

    def settings(self) -> LlmSettings:
        """The environment's settings, with what this resource was configured with in their place."""
        given: dict[str, Any] = {
            name: value
            for name in type(self).model_fields
            if name in LlmSettings.model_fields and (value := getattr(self, name)) is not None
        }
        with reading_settings():
            return LlmSettings(**given)

    def client(self, *, database: Database | None = None) -> LlmClient:
        """A client for one task, to be used in `async with`. See `resources.llm.build_client`."""
        return build_client(self.settings(), database=database)

    def deadline(self) -> Deadline:
        """The end of a task that begins now."""
        return Deadline.after(self.settings().llm_deadline_seconds)
