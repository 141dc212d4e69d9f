"""What a provider's adapter does, and no more: build the call, apply the timeout, read the answer, type the error.

Retries, pacing, budgets and breakers stand outside (`managed.py`), so that all SDKs behave alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol

from pydantic import ValidationError

from resources.llm.errors import Flaw, LlmError, LlmResponseError
from resources.llm.pacing.bucket import Limits
from resources.llm.protocol import CompletionRequest, T, Usage
from resources.schema_faults import field_of

Heard = Callable[[Limits], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[T]):
    """One validated answer of one call."""

    value: T
    usage: Usage = field(default_factory=Usage)


class Adapter(Protocol):
    """One SDK behind a common face."""

    name: str
    """As in LLM_PROVIDERS."""
    model: str
    account: str
    """A hash that says whose quota it is; see `account_of`."""

    async def call(self, request: CompletionRequest[T], *, within: float, heard: Heard) -> Answer[T]:
        """One call, one attempt, at most `within` seconds.

        Everything that fails is raised as an `LlmError`, with the tokens it cost in `usage`. `heard` is called with
        the limits that the response names, whether it is an answer or a refusal.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


def account_of(api_key: str, endpoint: str | None) -> str:
    """A name for the account behind a key that tells nothing about the key."""
    from hashlib import blake2b

    return blake2b(f"{endpoint or ''}\n{api_key}".encode(), digest_size=12, person=b"llm-account").hexdigest()


def read_answer(text: str | None, answer: type[T], *, provider: str, model: str, usage: Usage) -> T:
    """Validate an answer's text. Raises `LlmResponseError`; neither the text nor the values are in its message."""
    if not text or not text.strip():
        raise costing(
            LlmResponseError(f"{provider} gave an empty answer", provider=provider, flaw=Flaw.EMPTY, model=model), usage
        )
    try:
        return answer.model_validate_json(text)
    except ValidationError as error:
        raise costing(invalid(error, provider=provider, model=model), usage) from None


def invalid(error: ValidationError, *, provider: str, model: str) -> LlmResponseError:
    """What was wrong with an answer, without repeating any of it."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return LlmResponseError(
            f"{provider} gave an answer that is not JSON", provider=provider, flaw=Flaw.MALFORMED, model=model
        )
    place = field_of(first, root="the answer")
    return LlmResponseError(
        f"{provider} gave an answer outside the schema ({error.error_count()} faults, the first at {place})",
        provider=provider,
        flaw=Flaw.OUTSIDE_SCHEMA,
        model=model,
    )


def costing(error: LlmError, usage: Usage) -> LlmError:
    """The same error, with what was spent on it."""
    error.usage = usage
    return error
