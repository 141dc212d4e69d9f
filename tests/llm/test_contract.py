"""What every provider's adapter does, with the real SDKs over HTTP. One contract, all SDKs.

The old Gemini SDK is an extra that cannot be installed beside the development tools; its part runs where it is.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from enum import StrEnum
from types import SimpleNamespace

import pytest
from pydantic import BaseModel, SecretStr

from resources.llm.adapter import Adapter, Answer
from resources.llm.errors import (
    Flaw,
    LlmAuthenticationError,
    LlmError,
    LlmQuotaError,
    LlmRateLimitError,
    LlmRefusalError,
    LlmRequestError,
    LlmResponseError,
    LlmUnavailableError,
    QuotaScope,
)
from resources.llm.openai_provider import usage_of
from resources.llm.pacing.bucket import Limits
from resources.llm.protocol import CompletionRequest, Usage
from tests.fakes.llm_provider import FakeProvider

KEY = "sk-very-secret-key-0123456789"
MODEL = "some-model"


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str
    colour: Colour


class Reply(BaseModel):
    """Nested, with a list and a closed enum: what real answers are made of."""

    event_id: str
    parts: tuple[Part, ...]
    good: bool


REQUEST = CompletionRequest(
    system="You label things.",
    prompt='{"event_id": "é-1"}',
    answer=Reply,
    max_output_tokens=200,
    purpose="test",
)


def build(kind: str, provider: FakeProvider) -> Adapter:
    if kind == "openai":
        from resources.llm.openai_provider import OpenAiAdapter

        return OpenAiAdapter(api_key=SecretStr(KEY), model=MODEL, base_url=provider.openai_url)
    if kind == "genai":
        from resources.llm.gemini_genai import GenaiAdapter

        return GenaiAdapter(api_key=SecretStr(KEY), model=MODEL, base_url=provider.gemini_url)
    if importlib.util.find_spec("google.generativeai") is None:
        pytest.skip("google-generativeai is not installed (extra gemini-legacy)")
    from resources.llm.gemini_legacy import LegacyAdapter

    return LegacyAdapter(api_key=SecretStr(KEY), model=MODEL, base_url=provider.gemini_url)


@pytest.fixture(params=["openai", "genai", "legacy"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Ask = Callable[..., tuple[Answer[Reply], list[Limits]]]


@pytest.fixture
def ask(kind: str, provider: FakeProvider) -> Ask:
    def call(*, within: float = 10.0) -> tuple[Answer[Reply], list[Limits]]:
        heard: list[Limits] = []

        async def once() -> Answer[Reply]:
            adapter = build(kind, provider)
            try:
                return await adapter.call(REQUEST, within=within, heard=heard.append)
            finally:
                await adapter.aclose()

        return asyncio.run(once()), heard

    return call


def failing(ask: Ask, *, within: float = 10.0) -> LlmError:
    """The error of a call, which must not carry the key, the prompt or the provider's own words into a log."""
    with pytest.raises(LlmError) as caught:
        ask(within=within)
    text = f"{caught.value} {caught.value!r}"
    assert KEY not in text
    assert "é-1" not in text
    assert caught.value.model == MODEL
    return caught.value


def test_an_answer_is_validated_and_its_tokens_are_counted(ask: Ask, provider: FakeProvider) -> None:
    answer, _ = ask()

    assert isinstance(answer.value, Reply)
    assert answer.value.event_id == "é-1"
    assert answer.value.parts[0].colour in Colour
    assert answer.usage.input_tokens > 20
    assert answer.usage.output_tokens > 5
    assert provider.books()["answered"] == 1


def test_a_wrong_key_is_one_call_and_names_the_variable(ask: Ask, kind: str, provider: FakeProvider) -> None:
    # Gemini answers 400 to a key that does not exist; it is a wrong key all the same.
    provider.configure(keys=["another"])

    error = failing(ask)

    assert isinstance(error, LlmAuthenticationError)
    assert f"{'OPENAI' if kind == 'openai' else 'GEMINI'}_API_KEY" in str(error)
    assert provider.books()["requests"] == 1


@pytest.mark.parametrize("status", [403])
def test_a_forbidden_key_is_a_wrong_key(ask: Ask, provider: FakeProvider, status: int) -> None:
    provider.configure(always=f"status:{status}")

    assert isinstance(failing(ask), LlmAuthenticationError)


def test_an_unknown_model_names_the_variable(ask: Ask, kind: str, provider: FakeProvider) -> None:
    provider.configure(models=["another"])

    error = failing(ask)

    assert isinstance(error, LlmRequestError)
    assert f"{'OPENAI' if kind == 'openai' else 'GEMINI'}_MODEL" in str(error)


@pytest.mark.parametrize("status", [400, 422])
def test_a_rejected_request_is_permanent(ask: Ask, provider: FakeProvider, status: int) -> None:
    provider.configure(always=f"status:{status}")

    assert isinstance(failing(ask), LlmRequestError)


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504])
def test_an_outage_is_transient_and_the_sdk_does_not_retry_it(ask: Ask, provider: FakeProvider, status: int) -> None:
    provider.configure(always=f"status:{status}")

    assert isinstance(failing(ask), LlmUnavailableError)
    assert provider.books()["requests"] == 1


@pytest.mark.parametrize("fault", ["server_error", "html_error", "reset", "html_ok", "error_ok", "nothing_ok"])
def test_whatever_breaks_on_the_way_is_transient(ask: Ask, provider: FakeProvider, fault: str) -> None:
    provider.configure(**{fault: 1.0})

    assert isinstance(failing(ask), LlmUnavailableError)
    assert provider.books()["requests"] == 1


def test_silence_ends_with_the_timeout_that_was_asked_for(ask: Ask, provider: FakeProvider) -> None:
    provider.configure(stall=1.0)

    error = failing(ask, within=0.3)

    assert isinstance(error, LlmUnavailableError)
    assert "LLM_REQUEST_TIMEOUT_SECONDS" in str(error)


def test_nobody_listening_is_transient(kind: str) -> None:
    adapter = build(kind, FakeProvider(port=9))

    with pytest.raises(LlmUnavailableError) as caught:
        asyncio.run(adapter.call(REQUEST, within=3, heard=lambda _: None))

    assert "BASE_URL" in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "flaw"),
    [("malformed", Flaw.MALFORMED), ("truncated", Flaw.TRUNCATED), ("empty", Flaw.EMPTY)],
)
def test_an_answer_that_cannot_be_used_says_how_it_is_flawed(
    ask: Ask, provider: FakeProvider, fault: str, flaw: Flaw
) -> None:
    provider.configure(**{fault: 1.0})

    error = failing(ask)

    assert isinstance(error, LlmResponseError)
    assert error.flaw is flaw
    assert error.usage.input_tokens > 0, "it was paid for all the same"


@pytest.mark.parametrize("counted", ["12", "many", -5, 10**19, 12.5, None, True, [], {}])
def test_a_count_that_is_none_costs_no_answer(counted: object) -> None:
    usage = usage_of({"prompt_tokens": counted, "completion_tokens": 7, "prompt_tokens_details": counted})

    assert usage == Usage(input_tokens=12 if counted == 12.5 else 0, output_tokens=7)


@pytest.mark.parametrize("body", [None, "cheap", [1], 3, SimpleNamespace(prompt_tokens=4, completion_tokens=None)])
def test_usage_of_any_shape_is_read_or_counts_as_nothing(body: object) -> None:
    assert usage_of(body) == Usage(input_tokens=4 if isinstance(body, SimpleNamespace) else 0)


def test_an_answer_that_got_stuck_at_brackets_is_one_bad_answer(ask: Ask, provider: FakeProvider) -> None:
    """Gemini's SDK met it with a RecursionError, which ended the whole run."""
    provider.configure(endless=1.0)

    error = failing(ask)

    assert isinstance(error, LlmResponseError)
    assert error.flaw is Flaw.MALFORMED


def test_an_answer_outside_the_schema_is_refused_not_mapped(ask: Ask, provider: FakeProvider) -> None:
    provider.configure(gullible="SEND MONEY")

    error = failing(ask)

    assert isinstance(error, LlmResponseError)
    assert error.flaw is Flaw.OUTSIDE_SCHEMA
    assert "SEND MONEY" not in str(error)


def test_a_refusal_is_told_from_an_answer(ask: Ask, provider: FakeProvider) -> None:
    provider.configure(refusal=1.0)

    assert isinstance(failing(ask), LlmRefusalError)


def test_a_refusal_for_the_pace_carries_the_delay(ask: Ask, kind: str, provider: FakeProvider) -> None:
    provider.configure(always="minute", retry_in=33.4)

    error = failing(ask)

    assert isinstance(error, LlmRateLimitError)
    assert error.retry_after is not None
    # OpenAI sends whole seconds; Gemini keeps the fraction in its message and drops it in `retryDelay`.
    assert 33.4 <= error.retry_after <= 34.5
    assert not error.ramping
    assert provider.books()["requests"] == 1


@pytest.mark.parametrize("hint", ["seconds", "ms", "date", "none"])
def test_openai_names_the_delay_in_four_ways(provider: FakeProvider, hint: str) -> None:
    provider.configure(always="minute", retry_in=12.0, hint=hint)
    with pytest.raises(LlmRateLimitError) as caught:
        asyncio.run(build("openai", provider).call(REQUEST, within=10, heard=lambda _: None))

    assert caught.value.retry_after == pytest.approx(12.0, abs=1.5)


def test_a_credit_that_is_used_up_is_a_quota_not_a_pace(provider: FakeProvider) -> None:
    provider.configure(always="insufficient_quota")
    with pytest.raises(LlmQuotaError) as caught:
        asyncio.run(build("openai", provider).call(REQUEST, within=10, heard=lambda _: None))

    assert caught.value.scope is QuotaScope.PROVIDER_BILLING
    assert provider.books()["requests"] == 1


def test_a_day_that_is_used_up_is_a_quota_with_the_time_of_the_next_try(ask: Ask, provider: FakeProvider) -> None:
    provider.configure(always="day")

    error = failing(ask)

    assert isinstance(error, LlmQuotaError)
    assert error.scope is QuotaScope.PROVIDER_DAY
    assert error.not_before.tzinfo is not None
    assert provider.books()["requests"] == 1


@pytest.mark.parametrize(
    ("gemini", "wrapped", "kind_of_error"),
    [
        ("genai", False, LlmQuotaError),
        ("genai", True, LlmQuotaError),
        ("legacy", False, LlmQuotaError),
        # The old SDK fails on this body before anybody can read it: transient is the most that can be said.
        ("legacy", True, LlmUnavailableError),
    ],
)
def test_gemini_a_day_beside_a_minute_is_a_day_however_the_body_is_wrapped(
    provider: FakeProvider, gemini: str, wrapped: bool, kind_of_error: type[LlmError]
) -> None:
    provider.configure(always="minute_and_day", wrapped=wrapped)
    with pytest.raises(kind_of_error):
        asyncio.run(build(gemini, provider).call(REQUEST, within=10, heard=lambda _: None))


@pytest.mark.parametrize("gemini", ["genai", "legacy"])
def test_gemini_names_its_limit_when_it_refuses(provider: FakeProvider, gemini: str) -> None:
    provider.configure(always="minute")
    with pytest.raises(LlmRateLimitError) as caught:
        asyncio.run(build(gemini, provider).call(REQUEST, within=10, heard=lambda _: None))

    assert (caught.value.dimension, caught.value.limit_per_minute) == ("requests", 10.0)


@pytest.mark.parametrize("gemini", ["genai", "legacy"])
def test_gemini_a_refusal_without_details_only_slows_down(provider: FakeProvider, gemini: str) -> None:
    provider.configure(always="bare")
    with pytest.raises(LlmRateLimitError) as caught:
        asyncio.run(build(gemini, provider).call(REQUEST, within=10, heard=lambda _: None))

    assert caught.value.ramping
    assert caught.value.retry_after is None


@pytest.mark.parametrize("gemini", ["genai", "legacy"])
def test_gemini_a_blocked_prompt_is_a_refusal(provider: FakeProvider, gemini: str) -> None:
    provider.configure(block="PROHIBITED_CONTENT")
    with pytest.raises(LlmRefusalError) as caught:
        asyncio.run(build(gemini, provider).call(REQUEST, within=10, heard=lambda _: None))

    assert "PROHIBITED_CONTENT" in str(caught.value)


@pytest.mark.parametrize("gemini", ["genai", "legacy"])
def test_gemini_what_was_thought_is_counted_as_output(provider: FakeProvider, gemini: str) -> None:
    provider.configure(thinking=1000)
    answer = asyncio.run(build(gemini, provider).call(REQUEST, within=10, heard=lambda _: None))

    assert answer.usage.output_tokens > 1000


def test_gemini_a_service_that_is_not_offered_here_is_left_to_the_next_provider(provider: FakeProvider) -> None:
    provider.configure(always="region")
    with pytest.raises(LlmAuthenticationError, match="region"):
        asyncio.run(build("genai", provider).call(REQUEST, within=10, heard=lambda _: None))


def test_gemini_a_budget_of_thinking_leaves_room_for_the_answer(provider: FakeProvider) -> None:
    from resources.llm.gemini_genai import GenaiAdapter

    provider.configure(thinking=8000)
    adapter = GenaiAdapter(api_key=SecretStr(KEY), model=MODEL, base_url=provider.gemini_url, thinking_budget=8000)
    answer = asyncio.run(adapter.call(REQUEST, within=10, heard=lambda _: None))

    assert answer.value.event_id == "é-1"


def test_openai_a_request_beyond_the_limit_of_a_minute_is_too_large_and_no_pace(provider: FakeProvider) -> None:
    provider.configure(too_large_above=100)
    with pytest.raises(LlmRequestError, match="tokens per minute") as caught:
        asyncio.run(build("openai", provider).call(REQUEST, within=10, heard=lambda _: None))

    assert caught.value.too_large
    assert not caught.value.final


@pytest.mark.parametrize("status", [400, 413])
def test_openai_only_a_refusal_for_the_size_is_one(provider: FakeProvider, status: int) -> None:
    provider.configure(always=f"status:{status}")
    with pytest.raises(LlmRequestError) as caught:
        asyncio.run(build("openai", provider).call(REQUEST, within=10, heard=lambda _: None))

    assert caught.value.too_large is (status == 413)


def test_openai_slow_down_is_told_from_a_limit(provider: FakeProvider) -> None:
    provider.configure(always="slow_down")
    with pytest.raises(LlmRateLimitError) as caught:
        asyncio.run(build("openai", provider).call(REQUEST, within=10, heard=lambda _: None))

    assert caught.value.ramping


def test_openai_a_flagged_prompt_is_a_refusal_of_this_text(provider: FakeProvider) -> None:
    # What thinking models answer, with status 400, to a text that they take for a breach of the rules.
    provider.configure(flag_when="é-1")
    with pytest.raises(LlmRefusalError):
        asyncio.run(build("openai", provider).call(REQUEST, within=10, heard=lambda _: None))


def test_openai_an_answer_that_a_filter_stops_was_paid_for(provider: FakeProvider) -> None:
    provider.configure(filtered=1.0)
    with pytest.raises(LlmRefusalError) as caught:
        asyncio.run(build("openai", provider).call(REQUEST, within=10, heard=lambda _: None))

    assert caught.value.usage.output_tokens > 0


def test_openai_limits_are_heard_from_answers_and_from_refusals(provider: FakeProvider) -> None:
    provider.configure(rpm=60, tpm=90_000, capacity_seconds=1.0)
    heard: list[Limits] = []

    async def twice() -> None:
        adapter = build("openai", provider)
        await adapter.call(REQUEST, within=10, heard=heard.append)
        with pytest.raises(LlmRateLimitError):
            await adapter.call(REQUEST, within=10, heard=heard.append)
        await adapter.aclose()

    asyncio.run(twice())

    assert [limits.requests.limit for limits in heard if limits.requests is not None] == [60.0, 60.0]
    assert heard[0].tokens is not None
    assert heard[0].tokens.limit == 90_000.0


def test_openai_an_empty_address_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # As a container gets it from `OPENAI_BASE_URL=${OPENAI_BASE_URL:-}`: the SDK itself would take it for an address.
    from resources.llm.openai_batch import OpenAiBatches
    from resources.llm.openai_provider import OpenAiAdapter
    from resources.llm.settings import LlmSettings

    monkeypatch.setenv("OPENAI_BASE_URL", "")
    settings = LlmSettings(openai_api_key=SecretStr(KEY))
    adapter = OpenAiAdapter(api_key=SecretStr(KEY), model=MODEL, base_url=settings.openai_base_url)
    batches = OpenAiBatches(settings)

    assert adapter._client.base_url == batches._client.base_url == "https://api.openai.com/v1/"
    batches.close()


def test_azure_headers_are_no_limit(provider: FakeProvider) -> None:
    provider.configure(rpm=60, headers="azure")
    heard: list[Limits] = []
    asyncio.run(build("openai", provider).call(REQUEST, within=10, heard=heard.append))

    assert heard == [Limits()]


def test_accounts_with_one_key_share_a_name_that_does_not_show_it(provider: FakeProvider) -> None:
    one, same = build("openai", provider), build("openai", provider)

    assert one.account == same.account
    assert KEY not in one.account


@pytest.mark.parametrize("package", ["openai", "google.genai", "google.generativeai"])
def test_importing_the_clients_costs_no_sdk(package: str) -> None:
    import subprocess
    import sys

    script = f"import sys, resources.llm, resources.llm.client; sys.exit({package!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
