"""Who answers when somebody cannot, and what is said about it."""

from __future__ import annotations

import asyncio
import logging
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel

from resources.errors import PermanentError, TransientError
from resources.llm.asking import ask
from resources.llm.errors import (
    Flaw,
    LlmAuthenticationError,
    LlmDeadlineError,
    LlmError,
    LlmQuotaError,
    LlmRateLimitError,
    LlmRefusalError,
    LlmRequestError,
    LlmResponseError,
    LlmUnavailableError,
    QuotaScope,
)
from resources.llm.fallback import FallbackClient
from resources.llm.offline import OfflineProvider
from resources.llm.protocol import Closing, Completion, CompletionRequest, Deadline, T, Usage


class Word(BaseModel):
    word: str


REQUEST = CompletionRequest(
    system="s", prompt="p", answer=Word, max_output_tokens=10, purpose="test", offline=lambda: Word(word="rules")
)
SOON = datetime.now(UTC) + timedelta(hours=1)


def quota(provider: str = "gemini") -> LlmQuotaError:
    return LlmQuotaError("used up", provider=provider, scope=QuotaScope.PROVIDER_DAY, not_before=SOON, model="m")


class Says(Closing):
    """A client that raises its errors one after another, then answers."""

    def __init__(self, *errors: LlmError) -> None:
        self.errors = list(errors)
        self.ceilings: list[int] = []

    async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:
        self.ceilings.append(request.max_output_tokens)
        if self.errors:
            error = self.errors.pop(0)
            error.usage = Usage(requests=1, input_tokens=100)
            raise error
        value = request.answer.model_validate({"word": "model"})
        return Completion(value=value, provider="p", model="m", usage=Usage(requests=1, input_tokens=100))


def run(*clients: Closing) -> Completion[Word]:
    async def scene() -> Completion[Word]:
        async with FallbackClient(clients) as client:  # type: ignore[arg-type]
            return await client.complete(REQUEST, deadline=Deadline.after(60))

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("error", "warning"),
    [
        (quota(), "gemini-quota-exceeded"),
        (LlmRateLimitError("paced", provider="gemini", retry_after=34), "gemini-quota-exceeded"),
        (LlmUnavailableError("down", provider="openai"), "openai-unavailable"),
        (LlmDeadlineError("late", provider="openai"), "openai-deadline"),
        (LlmAuthenticationError("401", provider="openai"), "openai-authentication"),
    ],
)
def test_the_next_provider_takes_over_and_the_answer_says_why(error: LlmError, warning: str) -> None:
    completion = run(Says(error), OfflineProvider())

    assert completion.value.word == "rules"
    assert completion.provider == "offline"
    assert completion.warnings == (warning,)
    assert completion.usage == Usage(requests=1, input_tokens=100), "what the first one cost is not forgotten"
    assert completion.spent[error.provider, error.model] == completion.usage, "and stands on its own line"
    assert completion.spent["offline", "rules"] == Usage()


@pytest.mark.parametrize(
    "error",
    [
        LlmRequestError("400", provider="openai"),
        LlmRefusalError("no", provider="openai"),
        LlmResponseError("bad", provider="openai", flaw=Flaw.EMPTY),
    ],
)
def test_a_question_that_is_not_liked_is_not_carried_from_door_to_door(error: LlmError) -> None:
    with pytest.raises(type(error)):
        run(Says(error), OfflineProvider())


def test_when_nobody_answers_the_error_tells_when_somebody_will() -> None:
    with pytest.raises(LlmQuotaError) as caught:
        run(Says(LlmAuthenticationError("401", provider="openai")), Says(quota()))

    assert caught.value.not_before == SOON
    assert caught.value.warnings == ("openai-authentication", "gemini-quota-exceeded")
    assert caught.value.usage.requests == 2
    assert {name: usage.requests for name, usage in caught.value.spent.items()} == {
        ("openai", ""): 1,
        ("gemini", "m"): 1,
    }


def test_an_error_that_is_raised_again_is_charged_with_its_own_calls_only() -> None:
    wall = quota()

    class Wall(Closing):
        def __init__(self, usage: Usage) -> None:
            self.usage = usage

        async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:
            wall.usage, self.usage = self.usage, Usage()
            raise wall

    async def scene() -> list[dict[tuple[str, str], int]]:
        asked = FallbackClient([Says(LlmUnavailableError("down", provider="openai")), Wall(Usage(requests=1))])
        said = []
        for _ in range(2):
            asked._clients[0].errors = [LlmUnavailableError("down", provider="openai")]  # type: ignore[attr-defined]
            with pytest.raises(LlmQuotaError) as caught:
                await asked.complete(REQUEST, deadline=Deadline.after(60))
            said.append({name: usage.requests for name, usage in caught.value.spent.items()})
        return said

    assert asyncio.run(scene()) == [
        {("openai", ""): 1, ("gemini", "m"): 1},
        {("openai", ""): 1, ("gemini", "m"): 0},
    ]


def test_a_quota_alone_carries_its_warning() -> None:
    with pytest.raises(LlmQuotaError) as caught:
        run(Says(quota()))

    assert caught.value.warnings == ("gemini-quota-exceeded",)


def test_a_thousand_rows_deferred_for_one_reason_are_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        client = FallbackClient([Says(*(quota() for _ in range(20))), OfflineProvider()])  # type: ignore[list-item]
        for _ in range(20):
            await client.complete(REQUEST, deadline=Deadline.after(60))

    with caplog.at_level(logging.WARNING, "resources.llm"):
        asyncio.run(scene())

    assert [record.getMessage() for record in caplog.records] == ["gemini-quota-exceeded: used up"]


def test_a_request_without_rules_says_what_to_set() -> None:
    bare = CompletionRequest(system="s", prompt="p", answer=Word, max_output_tokens=10, purpose="flashcards")
    with pytest.raises(LlmRequestError, match="OPENAI_API_KEY"):
        asyncio.run(OfflineProvider().complete(bare, deadline=Deadline.after(60)))


def test_no_provider_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no provider"):
        FallbackClient([])


EVERY_ERROR = [
    quota(),
    LlmRateLimitError("m", provider="p", retry_after=3.0, dimension="tokens", limit_per_minute=5.0),
    LlmUnavailableError("m", provider="p", retry_after=3.0),
    LlmDeadlineError("m", provider="p"),
    LlmResponseError("m", provider="p", flaw=Flaw.TRUNCATED),
    LlmRefusalError("m", provider="p", model="x"),
    LlmRequestError("m", provider="p", too_large=True),
    LlmAuthenticationError("m", provider="p"),
]


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_errors_keep_their_facts_across_processes(error: LlmError) -> None:
    error.usage = Usage(requests=3)
    error.warnings = ("w",)
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert again.__dict__ == error.__dict__
    assert str(again) == str(error)
    assert again.code == error.code


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_every_error_says_whether_the_same_call_could_succeed_later(error: LlmError) -> None:
    permanent = isinstance(error, LlmRefusalError | LlmRequestError | LlmAuthenticationError)

    assert isinstance(error, PermanentError) is permanent
    assert isinstance(error, TransientError) is not permanent


def asked(client: Closing, reasks: int = 2) -> Completion[Word]:
    return asyncio.run(ask(client, REQUEST, deadline=Deadline.after(60), reasks=reasks))  # type: ignore[arg-type]


def bad(flaw: Flaw) -> LlmResponseError:
    return LlmResponseError("bad", provider="p", flaw=flaw)


def test_a_bad_answer_is_asked_again_and_paid_for_twice() -> None:
    completion = asked(Says(bad(Flaw.EMPTY), bad(Flaw.MALFORMED)))

    assert completion.usage.requests == 3


def test_an_answer_that_was_cut_off_gets_more_room() -> None:
    client = Says(bad(Flaw.TRUNCATED), bad(Flaw.TRUNCATED))
    asked(client)

    assert client.ceilings == [10, 20, 40]


def test_asking_again_ends() -> None:
    client = Says(*(bad(Flaw.EMPTY) for _ in range(9)))
    with pytest.raises(LlmResponseError) as caught:
        asked(client)

    assert caught.value.usage.requests == 3
    assert len(client.ceilings) == 3


def test_a_quota_is_not_asked_again() -> None:
    client = Says(bad(Flaw.EMPTY), quota())
    with pytest.raises(LlmQuotaError) as caught:
        asked(client)

    assert caught.value.usage.requests == 2
