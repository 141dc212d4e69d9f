"""Settings of the LLM clients, read from environment variables of the same names in capitals.

An empty variable counts as unset. Half a configuration is an error that says what is missing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PROVIDERS = ("openai", "gemini", "offline")


class LlmSettings(BaseSettings):
    """Which providers answer, in which order, with which keys, limits and deadlines."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # Pydantic would quote every key that is set, and a run's error goes to its log
    )

    llm_providers: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated, tried in order. Unset: those that have a key (openai, gemini), else `offline`."""
    llm_deadline_seconds: float = Field(600.0, gt=0)
    """Total time of one task: every wait, retry and call of it."""
    llm_request_timeout_seconds: float = Field(60.0, gt=0)
    """Of a single call. The SDKs' own default is ten minutes, more than a whole task may take."""
    llm_attempts: int = Field(3, ge=1, le=10)
    """Calls for one question when the transport fails. Waiting for a named delay is not an attempt."""
    llm_concurrency: int = Field(64, ge=1, le=1000)
    """Calls in flight in one process. The pace comes from the provider's limits, not from this."""
    llm_daily_token_budget: int | None = Field(None, ge=0)
    """Tokens a user may spend a day, unless a budget of their own is stored. Unset: no limit."""
    llm_prices: Path | None = None
    """A TOML file of prices that replaces entries of the built-in table; see docs/llm.md."""

    openai_api_key: SecretStr | None = None
    """Key of the service, or of whatever answers at OPENAI_BASE_URL."""
    openai_base_url: str | None = None
    """Any server that speaks the chat completions API with structured outputs. Unset: OpenAI's."""
    openai_model: str = "gpt-4o-mini"
    """A model that supports structured outputs (`json_schema`)."""
    openai_requests_per_minute: float | None = Field(None, gt=0)
    """Rarely needed: the limits are read from the response headers."""
    openai_tokens_per_minute: float | None = Field(None, gt=0)
    """Rarely needed, as above."""

    openai_reasoning_effort: str | None = None
    """`minimal`, `low` … for models that think before they answer; unset for the others."""
    openai_batch_tokens: int = Field(1_000_000, gt=0)
    """Estimated tokens of one batch. Must be below the account's limit of enqueued tokens, or no batch is accepted."""

    gemini_api_key: SecretStr | None = None
    """Key of the Gemini API (AI Studio)."""
    gemini_base_url: str | None = None
    """Replaces scheme and host. Unset: Google's."""
    gemini_model: str = "gemini-2.5-flash"
    """A model that supports JSON schemas."""
    gemini_sdk: Literal["genai", "legacy"] = "genai"
    """`legacy` uses google-generativeai, whose support has ended; it needs the extra `gemini-legacy`."""
    gemini_thinking_budget: int | None = Field(None, ge=-1)
    """Tokens of thinking. Unset: 0 for gemini-2.5-flash models, the model's own choice for others."""
    gemini_requests_per_minute: float | None = Field(None, gt=0)
    """Where to start: Gemini sends no limits with its answers. Unset: 10, raised while nothing is refused."""
    gemini_tokens_per_minute: float | None = Field(None, gt=0)
    """Unset: unlimited until a refusal names the limit."""

    @field_validator("llm_providers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip().lower() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("llm_providers")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in PROVIDERS:
                raise ValueError(f"LLM_PROVIDERS names {name!r}; valid names are: {', '.join(PROVIDERS)}")
        if len(set(value)) != len(value):
            raise ValueError("LLM_PROVIDERS names a provider twice")
        return value

    @field_validator("openai_api_key", "gemini_api_key")
    @classmethod
    def _sendable(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """A key as it fits into a header. Secrets that are mounted from files bring a line break along."""
        key = value.get_secret_value().strip() if value is not None else ""
        if not re.fullmatch(r"[!-~]*", key):
            # What the SDKs make of it reads as a network that is down.
            raise ValueError(
                f"{str(info.field_name).upper()} holds a space, a line break or an accent, as no key does: copy it again"
            )
        return SecretStr(key) if key else None

    @field_validator("openai_base_url", "gemini_base_url")
    @classmethod
    def _reachable(cls, value: str | None, info: ValidationInfo) -> str | None:
        try:
            parts = urlsplit(value or "http://unset")
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            valid = False
        if not valid:
            # Without the value: it may hold a password.
            raise ValueError(
                f"{str(info.field_name).upper()} is no address: http:// or https:// and a host is expected"
            )
        return value

    @model_validator(mode="after")
    def _keys(self) -> LlmSettings:
        for name, key in (("openai", self.openai_api_key), ("gemini", self.gemini_api_key)):
            if name in self.llm_providers and key is None:
                raise ValueError(
                    f"LLM_PROVIDERS names {name}, but {name.upper()}_API_KEY is not set: set it, or take {name} out"
                )
        return self

    @property
    def order(self) -> tuple[str, ...]:
        """The providers to try, in order; never empty."""
        if self.llm_providers:
            return self.llm_providers
        keys = (("openai", self.openai_api_key), ("gemini", self.gemini_api_key))
        return tuple(name for name, key in keys if key is not None) or ("offline",)
