"""What the environment says, and what it may not leave half said."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from resources.llm.client import build_client
from resources.llm.settings import LlmSettings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LlmSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> LlmSettings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return LlmSettings()


@pytest.mark.parametrize(
    ("variables", "order"),
    [
        ({}, ("offline",)),
        ({"OPENAI_API_KEY": ""}, ("offline",)),
        ({"OPENAI_API_KEY": "k"}, ("openai",)),
        ({"GEMINI_API_KEY": "k"}, ("gemini",)),
        ({"GEMINI_API_KEY": "k", "OPENAI_API_KEY": "k"}, ("openai", "gemini")),
        ({"LLM_PROVIDERS": "offline", "OPENAI_API_KEY": "k"}, ("offline",)),
        ({"LLM_PROVIDERS": " Gemini , offline,", "GEMINI_API_KEY": "k"}, ("gemini", "offline")),
    ],
)
def test_the_order_is_as_said_or_follows_the_keys(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], order: tuple[str, ...]
) -> None:
    assert settings(monkeypatch, **variables).order == order


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"LLM_PROVIDERS": "openai"}, "OPENAI_API_KEY is not set"),
        ({"LLM_PROVIDERS": "offline,gemini"}, "GEMINI_API_KEY is not set"),
        ({"LLM_PROVIDERS": "anthropic"}, "valid names are: openai, gemini, offline"),
        ({"LLM_PROVIDERS": "offline,offline"}, "twice"),
        ({"LLM_DEADLINE_SECONDS": "0"}, "greater than 0"),
        ({"GEMINI_SDK": "newest"}, "genai"),
    ],
)
def test_half_a_configuration_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(monkeypatch, **variables)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "GEMINI_API_KEY"])
def test_the_line_break_of_a_mounted_secret_is_no_part_of_the_key(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    key = getattr(settings(monkeypatch, **{name: " sk-1 \n"}), name.lower())

    assert key.get_secret_value() == "sk-1"
    assert getattr(settings(monkeypatch, **{name: " \n"}), name.lower()) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_API_KEY", "sk-secret\nX-Other: 1"),
        ("OPENAI_API_KEY", "sk-secret é"),
        ("GEMINI_API_KEY", "AI secret"),
        ("OPENAI_BASE_URL", "secret"),
        ("OPENAI_BASE_URL", "http://[::1"),
        ("OPENAI_BASE_URL", "ftp://secret@host"),
        ("GEMINI_BASE_URL", "::::secret"),
        ("GEMINI_BASE_URL", "https://host:secret"),
    ],
)
def test_what_can_be_no_key_or_address_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(monkeypatch, **{name: value})

    assert name in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_error_about_one_provider_does_not_show_the_key_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="GEMINI_API_KEY") as caught:
        settings(monkeypatch, LLM_PROVIDERS="openai,gemini", OPENAI_API_KEY="secret")

    assert "secret" not in str(caught.value)


def test_keys_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = settings(monkeypatch, OPENAI_API_KEY="sk-secret-1", GEMINI_API_KEY="AIza-secret-2")

    assert "secret" not in f"{shown!r} {shown} {shown.model_dump()}"


def test_without_a_key_no_sdk_and_no_database_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    build_client(LlmSettings(), database=Untouchable())  # type: ignore[arg-type]


def test_the_old_sdk_without_its_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from resources.llm.gemini_legacy import GeminiLegacyError

    if importlib.util.find_spec("google.generativeai") is not None:
        pytest.skip("google-generativeai is installed")
    with pytest.raises(GeminiLegacyError, match="gemini-legacy"):
        build_client(settings(monkeypatch, GEMINI_API_KEY="k", GEMINI_SDK="legacy"))
