"""What a completion is, whoever answers it: a prompt and a Pydantic model in, a validated instance and usage out.

    request = CompletionRequest(system=..., prompt=..., answer=MyModel, max_output_tokens=400, purpose="flashcards")
    async with build_client(LlmSettings()) as client:
        completion = await client.complete(request, deadline=Deadline.after(600))
    completion.value            # a MyModel
    completion.usage            # tokens, requests, 429s, seconds waited

`complete` returns a validated answer or raises one of `errors.LlmError`; there is no third outcome. Belongs here:
plain values and the protocol. Knows no provider, no domain and no database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)

CHARS_PER_TOKEN = 4
"""Close enough for pacing in French and English, and needs no tokenizer tables, which would be a download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest(Generic[T]):
    """One question. `system` should be the same to the byte for equal purposes: providers cache prefixes."""

    system: str
    prompt: str
    answer: type[T]
    """The closed shape of the answer. Its JSON schema is sent; what comes back is validated against it."""
    max_output_tokens: int
    """Close to the real answer: providers admit a request by this ceiling, not by what it ends up using."""
    purpose: str
    """Groups usage: `tag_enrichments`, `flashcards` …"""
    user_id: str = ""
    """Whose budget it counts against; empty for the platform's own work."""
    offline: Callable[[], T] | None = None
    """The answer without a network, from the domain's own rules. Called by the `offline` provider only."""
    on_wait: Callable[[float], None] | None = None
    """Called with the seconds after which a provider that could not answer is asked again. Must not block."""

    @property
    def prompt_tokens(self) -> int:
        """An estimate from the length of the text, schema included."""
        return -(-(len(self.system) + len(self.prompt) + schema_chars(self.answer)) // CHARS_PER_TOKEN)

    @property
    def admission_tokens(self) -> int:
        """What a provider is likely to charge its token bucket with when the request arrives."""
        return max(self.prompt_tokens, self.max_output_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one or several calls cost. Adds up with `+`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the input tokens, those that the provider read from its prefix cache."""
    requests: int = 0
    """Calls sent, whatever became of them."""
    rate_limited: int = 0
    """Calls refused with 429."""
    waited_seconds: float = 0.0
    """Time spent waiting for a slot or for a delay that the provider named."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            requests=self.requests + other.requests,
            rate_limited=self.rate_limited + other.rate_limited,
            waited_seconds=self.waited_seconds + other.waited_seconds,
        )

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


Spent = Mapping[tuple[str, str], Usage]
"""Usage by provider and model."""


def together(*parts: Spent) -> dict[tuple[str, str], Usage]:
    """The sum of several."""
    total: dict[tuple[str, str], Usage] = {}
    for part in parts:
        for name, usage in part.items():
            total[name] = total.get(name, Usage()) + usage
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion(Generic[T]):
    """A validated answer, who gave it and what it cost."""

    value: T
    provider: str
    model: str
    usage: Usage = field(default_factory=Usage)
    """Of every call it took, by all providers that were tried."""
    shares: Spent = field(default_factory=dict)
    """Who took which part of `usage`, where more than one was tried; see `spent`."""
    warnings: tuple[str, ...] = ()
    """Stable codes such as `gemini-quota-exceeded`: who could not answer before this one did."""

    @property
    def spent(self) -> Spent:
        """`usage` by who took it, for the books."""
        return self.shares or {(self.provider, self.model): self.usage}

    def costing(self, more: Spent, warnings: tuple[str, ...] = ()) -> Completion[T]:
        """The same answer with what was spent before it."""
        shares = together(more, self.spent)
        return replace(self, usage=sum(shares.values(), Usage()), shares=shares, warnings=(*warnings, *self.warnings))


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock after which nothing waits any more. One is shared by all calls of a task."""

    at: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Self:
        """A deadline `seconds` from now."""
        return cls(clock() + seconds, clock)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock())


class LlmClient(Protocol):
    """Anything that answers: one provider, or several behind one another. An asynchronous context manager."""

    async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:
        """Answer, or raise an `errors.LlmError`. Never waits past the deadline. May be called concurrently."""
        ...

    async def aclose(self) -> None:
        """Give back connections. Calling it twice is harmless."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Closing:
    """The context manager half of `LlmClient`, for classes that have `aclose`."""

    async def aclose(self) -> None:
        """Nothing to give back, unless a class says otherwise."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


_SCHEMA_CHARS: dict[type[BaseModel], int] = {}


def schema_chars(model: type[BaseModel]) -> int:
    """Length of the model's JSON schema, computed once a model."""
    if model not in _SCHEMA_CHARS:
        import json

        _SCHEMA_CHARS[model] = len(json.dumps(model.model_json_schema()))
    return _SCHEMA_CHARS[model]
