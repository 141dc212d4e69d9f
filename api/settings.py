"""Settings of the HTTP service, read from the environment when asked."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 1024 * 1024


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class ApiSettings(BaseSettings):
    """How the service listens, what it accepts and how much."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # Pydantic would quote what it was given, the token too
    )

    host: str = Field(
        default="127.0.0.1",
        validation_alias="INGESTION_API_HOST",
        description="Address to listen on. Anything but a loopback address belongs behind a proxy that speaks TLS.",
    )
    port: int = Field(
        default=8080, validation_alias="INGESTION_API_PORT", ge=0, le=65535, description="Port to listen on."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("127.0.0.1", "localhost", "[::1]"),
        validation_alias="INGESTION_API_ALLOWED_HOSTS",
        description="Host names, comma-separated, under which the service may be called: what a page elsewhere "
        "resolves to this address is refused.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("127.0.0.1",),
        validation_alias="INGESTION_API_TRUSTED_PROXIES",
        description="Addresses and networks, comma-separated, of the proxies in front: who calls, and whether by TLS, is "
        "taken from their X-Forwarded-For and X-Forwarded-Proto, and from nobody else's.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="INGESTION_API_CORS_ORIGINS",
        description="Origins, comma-separated, whose pages may call the service. None by default.",
    )
    public_events: bool = Field(
        default=True,
        validation_alias="INGESTION_API_PUBLIC_EVENTS",
        description="Events and feeds can be read without a token: calendars cannot send one. `false` asks for it.",
    )
    body_bytes: int = Field(
        default=MIB, validation_alias="INGESTION_API_BODY_BYTES", ge=1024, description="Largest JSON or form body."
    )
    upload_bytes: int = Field(
        default=256 * MIB,
        validation_alias="INGESTION_API_UPLOAD_BYTES",
        ge=1024,
        description="Largest batch of files, in bytes on the wire.",
    )
    upload_files: int = Field(
        default=100, validation_alias="INGESTION_API_UPLOAD_FILES", ge=1, le=10_000, description="Files of a batch."
    )
    requests_per_second: float = Field(
        default=20.0,
        validation_alias="INGESTION_API_REQUESTS_PER_SECOND",
        gt=0,
        description="Steady rate of one user, or of one address without a token.",
    )
    request_burst: int = Field(
        default=60,
        validation_alias="INGESTION_API_REQUEST_BURST",
        ge=1,
        description="Requests that may come at once before the steady rate holds.",
    )
    streams_per_user: int = Field(
        default=20,
        validation_alias="INGESTION_API_STREAMS_PER_USER",
        ge=1,
        description="Event streams, and answers of the chat, that one user may have under way in one process.",
    )
    streams: int = Field(
        default=1000,
        validation_alias="INGESTION_API_STREAMS",
        ge=1,
        description="Event streams, and answers of the chat, that one process has under way.",
    )
    database_connections: int = Field(
        default=8,
        validation_alias="INGESTION_API_DATABASE_CONNECTIONS",
        ge=2,
        le=100,
        description="Connections of one process to PostgreSQL, besides those that listen and that read reports.",
    )
    statement_seconds: float = Field(
        default=15.0,
        validation_alias="INGESTION_API_STATEMENT_SECONDS",
        gt=0,
        description="Longest that one query of a request may take.",
    )
    documents_per_day: int = Field(
        default=200,
        validation_alias="INGESTION_DOCUMENTS_PER_DAY",
        ge=0,
        description="Documents that a user may hand in a day (UTC), unless `ingest users limit` says otherwise.",
    )
    ai_requests_per_day: int = Field(
        default=500,
        validation_alias="INGESTION_AI_REQUESTS_PER_DAY",
        ge=0,
        description="Requests to `POST /api/ai` and `POST /api/chat` that a user has a day (UTC).",
    )
    pending_jobs: int = Field(
        default=10_000,
        validation_alias="INGESTION_API_PENDING_JOBS",
        ge=1,
        description="Jobs that may wait. Beyond that new ones are refused with 503 until workers catch up.",
    )
    dagster_url: str = Field(
        default="http://127.0.0.1:3000",
        validation_alias="INGESTION_DAGSTER_URL",
        description="Dagster's webserver, which launches the runs that this service is asked for.",
    )
    dagster_location: str = Field(
        default="ingestion",
        validation_alias="INGESTION_DAGSTER_LOCATION",
        description="Name of the code location there.",
    )
    dagster_token: SecretStr | None = Field(
        default=None,
        validation_alias="INGESTION_DAGSTER_TOKEN",
        description="Bearer token for it, where it stands behind a proxy that asks for one.",
    )
    dagster_proxy_port: int = Field(
        default=3080,
        validation_alias="INGESTION_DAGSTER_PROXY_PORT",
        ge=0,
        le=65535,
        description="Port of the guard in front of Dagster's webserver (`python -m api.dagster_proxy`).",
    )
    session_hours: float = Field(
        default=12.0,
        validation_alias="INGESTION_API_SESSION_HOURS",
        gt=0,
        description="How long a browser stays signed in to the administration page.",
    )
    keep_alive_seconds: float = Field(
        default=15.0,
        validation_alias="INGESTION_API_KEEP_ALIVE_SECONDS",
        gt=0,
        description="Silence after which a stream sends a comment, so that proxies keep it open.",
    )

    _lists = field_validator("allowed_hosts", "trusted_proxies", "cors_origins", mode="before")(_split)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # uvicorn takes what it cannot read for the name of a socket, and trusts nobody by it.
        for one in value:
            try:
                ip_network(one)
            except ValueError as error:
                raise ValueError(f"INGESTION_API_TRUSTED_PROXIES: {error}") from None
        return value
