"""Log lines that say whose they are: job, run, source and attempt, on every line written while they are worked on.

Standard library only: what other libraries log goes through the same handler, with the same fields and without secrets.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from resources.redaction import RedactingFilter, quiet_http_loggers

_fields: ContextVar[Mapping[str, Any]] = ContextVar("log_fields", default={})  # noqa: B039 - it is never changed in place


class LogFormat(StrEnum):
    """How lines look."""

    TEXT = "text"
    JSON = "json"


class LogSettings(BaseSettings):
    """How this process logs."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    format: LogFormat = Field(
        default=LogFormat.TEXT,
        validation_alias="INGESTION_LOG_FORMAT",
        description="`text`, or `json`: one object a line, for log collectors.",
    )
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", validation_alias="INGESTION_LOG_LEVEL", description="Least severe level that is written."
    )


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Add fields (`job`, `run`, `source`, `attempt` …) to all lines of this thread or task within the context."""
    token = _fields.set({**current_fields(), **{name: value for name, value in fields.items() if value is not None}})
    try:
        yield
    finally:
        _fields.reset(token)


def current_fields() -> Mapping[str, Any]:
    """The fields of the context, outermost first."""
    return _fields.get()


def setup_logging(settings: LogSettings | None = None, *, stream: Any = None) -> None:
    """Write log lines to standard error in the configured format. Repeating it replaces the handler, not adds one."""
    settings = settings or LogSettings()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format is LogFormat.JSON else TextFormatter())
    handler.addFilter(_add_fields)
    # It also turns the exception into text without secrets, so that formatters never see the exception itself.
    handler.addFilter(RedactingFilter())
    handler.set_name("ingestion")
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == "ingestion"]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level)
    quiet_http_loggers()


def _add_fields(record: logging.LogRecord) -> bool:
    fields = dict(current_fields())
    if record.exc_info and record.exc_info[0] is not None:
        fields["error"] = record.exc_info[0].__name__
    record.ingestion_fields = fields
    return True


class TextFormatter(logging.Formatter):
    """`2026-11-21T12:00:00.123Z INFO jobs: claimed job=… attempt=1`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, plus the traceback where there is one."""
        fields = "".join(f" {name}={value}" for name, value in _fields_of(record).items())
        line = f"{_time(record)} {record.levelname} {record.name.rpartition('.')[2]}: {record.getMessage()}{fields}"
        return f"{line}\n{record.exc_text}" if record.exc_text else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the context's fields, `error` and `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON; values that JSON does not know are written as text."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields_of(record),
        }
        if record.exc_text:
            line["traceback"] = record.exc_text
        return json.dumps(line, default=str, ensure_ascii=False)


def _fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, "ingestion_fields", {})
    return fields


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
