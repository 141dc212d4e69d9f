"""`ingest settings`: what is set is shown, but nothing that opens something."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from api.settings import ApiSettings
from ingestion_assets.celery.settings import CelerySettings
from ingestion_assets.cli.settings import groups
from ingestion_assets.events.sources.ics.settings import IcsSettings
from resources.llm import LlmSettings
from resources.settings import PlatformSettings
from tests.cli.command import Command

CANARY = "canary-0a1b2c3d4e5f"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ICS_FEEDS", f"home=https://calendar.example.org/ical/me/private-{CANARY}/basic.ics"),
        ("OPEN_DATA_MONTREAL_CSV", f"https://example.org/events.csv?sig={CANARY}"),
        ("LAVITRINE_PAGE_URLS", f"https://example.org/agenda?token={CANARY}"),
        ("TICKETMASTER_API_KEY", CANARY),
        ("DATABASE_URL", f"postgresql://me:{CANARY}@db.example.org/events"),
        ("OPENAI_BASE_URL", f"https://me:{CANARY}@llm.example.org/v1"),
        ("INGESTION_CELERY_BROKER_URL", f"redis://:{CANARY}@broker.example.org/0"),
    ],
)
def test_of_a_secret_or_an_address_it_says_that_it_is_set(
    ingest_offline: Command, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    done = ingest_offline("settings")
    assert done.status == 0
    [row] = [line for line in done.out.splitlines() if f" {name} " in line]
    assert row.split("│")[2].strip() == "set"
    assert CANARY not in done.out + done.err
    assert "example.org" not in row


def test_no_setting_that_sounds_like_a_secret_is_shown_and_plain_ones_are() -> None:
    shown = {variable.name for _, variables in groups() for variable in variables if not variable.hidden}
    assert not [name for name in shown if name.endswith(("_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_URL", "_URLS"))]
    assert shown >= {"INGESTION_TIMEZONE", "ICS_DEFAULT_TIMEZONE", "LLM_PROVIDERS", "MEETUP_GROUPS"}


def test_a_value_in_brackets_is_shown_as_it_is(ingest_offline: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAVITRINE_LINK_PATTERN", "/[bold]x[/nope]")
    done = ingest_offline("settings")
    assert done.status == 0, done.err
    assert "/[bold]x[/nope]" in done.out


def test_no_name_of_a_variable_is_cut_in_eighty_columns(
    ingest_offline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = ingest_offline("settings")
    assert not [name for name in (v.name for _, listed in groups() for v in listed) if f" {name} " not in done.out]


def test_an_error_of_a_setting_quotes_no_secret_that_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps and code servers show such an error as it is: it came into the ledger and into Dagster's event log."""
    monkeypatch.setenv("LLM_PROVIDERS", "openai,gemini")
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with pytest.raises(ValidationError, match="GEMINI_API_KEY is not set") as caught:
        LlmSettings()
    assert CANARY[-8:] not in str(caught.value)
    assert CANARY[-8:] not in repr(caught.value)


def test_no_settings_with_a_secret_quote_what_they_were_given() -> None:
    assert {LlmSettings, PlatformSettings, ApiSettings, CelerySettings, IcsSettings} <= set(
        _holders_of_secrets(BaseSettings)
    )
    assert not [one for one in _holders_of_secrets(BaseSettings) if not one.model_config.get("hide_input_in_errors")]


def _holders_of_secrets(base: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    """The settings of the platform of which a variable is secret, or hidden as an address that may hold a secret."""
    for one in base.__subclasses__():
        if one.__module__.partition(".")[0] in {"ingestion_assets", "resources", "sensors", "api"} and any(
            "SecretStr" in str(field.annotation) or not field.repr for field in one.model_fields.values()
        ):
            yield one
        yield from _holders_of_secrets(one)
