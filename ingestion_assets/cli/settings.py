"""`ingest settings`: every environment variable, what it does and whether it is set. docs/configuration.md is its output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import typer
from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable."""

    name: str
    default: str
    text: str
    secret: bool
    hidden: bool
    """Not to be shown: a secret, or an address, which may hold one (private calendars, tokens in a query)."""


def groups() -> Iterator[tuple[str, list[Variable]]]:
    """Every settings class of this room and of `resources` with its variables, in the order of the documentation.

    Those of the HTTP service and of the sensors are tables in docs/api.md and docs/operations.md: this room does not
    import them.
    """
    from ingestion_assets.celery.settings import CelerySettings
    from ingestion_assets.events.sources import SOURCE_NAMES, source_class
    from ingestion_assets.ledger.job_settings import JobSettings
    from ingestion_assets.ledger.retention import RetentionSettings
    from ingestion_assets.logs import LogSettings
    from ingestion_assets.settings import AssetSettings, DeduplicationSettings, TaggingSettings
    from ingestion_assets.study.settings import StudySettings
    from resources.http import OutboundSettings
    from resources.llm import LlmSettings
    from resources.settings import PlatformSettings

    yield "Database and files", variables(PlatformSettings)
    yield "Weeks and schedules", variables(AssetSettings)
    for name in SOURCE_NAMES:
        source = source_class(name)
        yield f"Source {name} ({source.title})", variables(source.settings_class)
    yield "Outbound calls", variables(OutboundSettings)
    yield "Deduplication", variables(DeduplicationSettings)
    yield "Tagging", variables(TaggingSettings)
    yield "LLM providers", variables(LlmSettings)
    yield "Study documents", variables(StudySettings)
    yield "Asynchronous jobs", variables(JobSettings)
    yield "Runs on Celery", variables(CelerySettings)
    yield "History", variables(RetentionSettings)
    yield "Logs", variables(LogSettings)


def variables(settings: type[BaseSettings]) -> list[Variable]:
    """The variables that a settings class reads."""
    prefix = settings.model_config.get("env_prefix", "")
    return [_variable(prefix, name, field) for name, field in settings.model_fields.items()]


def _variable(prefix: str, name: str, field: FieldInfo) -> Variable:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = str(alias.choices[0])
    variable = (str(alias) if alias else prefix + name).upper()
    secret = "SecretStr" in str(field.annotation)
    return Variable(
        name=variable,
        default=_shown(field),
        text=" ".join((field.description or "").split()),
        secret=secret,
        # Settings classes keep what may hold a secret out of their `repr`.
        hidden=secret or not field.repr or "URL" in variable,
    )


def _shown(field: FieldInfo) -> str:
    from resources.settings import PROJECT_ROOT

    value: Any = field.default
    if field.default_factory is not None or value is None or value is PydanticUndefined or value in ("", ()):
        return ""
    if isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).replace(f"{PROJECT_ROOT}/", "")


def markdown() -> str:
    """The reference as a Markdown document."""
    lines = [
        "# Configuration",
        "",
        "Every setting is an environment variable; `.env` in the project's folder is read as well. An empty variable counts",
        "as unset. This page is the output of `ingest settings --markdown`; a test holds it to the code. On other pages:",
        "how the HTTP service listens and what it accepts ([api.md](api.md#settings)), and when a watcher calls",
        "something stuck ([operations.md](operations.md#thresholds)).",
    ]
    for title, found in groups():
        lines += ["", f"## {title}", "", *reference(found)]
    return "\n".join(lines) + "\n"


def reference(found: list[Variable]) -> list[str]:
    """The lines of a table in Markdown."""
    lines = ["| variable | default | what it does |", "| --- | --- | --- |"]
    for variable in found:
        default = f"`{variable.default}`" if variable.default else ""
        text = variable.text.replace("|", "\\|") + (" Secret." if variable.secret else "")
        lines.append(f"| `{variable.name}` | {default.replace('|', chr(92) + '|')} | {text.strip()} |")
    return lines


def settings(
    *,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the reference of the documentation.")] = False,
) -> None:
    """List settings with their value (of secrets and addresses only that it is set), default and meaning.

    Those of the HTTP service are in docs/api.md, thresholds of the sensors in docs/operations.md.
    """
    if as_markdown:
        typer.echo(markdown(), nl=False)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for title, found in groups():
        # Folded, not cut: a name without its end is none, and pipes are eighty columns wide.
        table = Table(title=title, title_justify="left")
        table.add_column("variable", no_wrap=True)
        for column in ("value", "default", "what it does"):
            table.add_column(column, overflow="fold")
        for variable in found:
            value = os.environ.get(variable.name, "")
            shown = "set" if value and variable.hidden else value
            # Values and patterns are text: what stands in brackets is no markup.
            table.add_row(*map(Text, (variable.name, shown, variable.default, variable.text)))
        console.print(table)
