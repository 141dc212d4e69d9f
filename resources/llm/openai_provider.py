"""OpenAI, and every server that speaks its chat completions API (OPENAI_BASE_URL).

`chat.completions.parse` through `with_raw_response`, which is the only way to the rate limit headers of a success. The
SDK's own retries are off: they retry `insufficient_quota`, ignore waits above two minutes, and the pace would not see
them. What parse() does with a refusal (no exception), an empty answer (no exception), broken JSON (a pydantic error)
and a cut answer (an error of its own) was tried against openai 3.52.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from resources.llm import hints
from resources.llm.adapter import Answer, Heard, account_of, costing, invalid
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
from resources.llm.protocol import CompletionRequest, T, Usage

if TYPE_CHECKING:
    import openai

PROVIDER = "openai"
BILLING_PAUSE = timedelta(hours=1)
"""`insufficient_quota` ends when somebody pays, which no header announces."""
DEFERRED_FROM = 600.0
"""Seconds. A wait that a provider names beyond this is a used-up quota, not a pace."""
REASONING_ROOM = 2048
"""Tokens added to the ceiling for models that think before they answer: thinking counts against it."""

API = "https://api.openai.com/v1"
"""Said to the SDK, which takes an empty OPENAI_BASE_URL of the environment for an address otherwise."""

MOST_TOKENS = 2**31
"""Of one call. What is said beyond is a server's mistake, and would not fit into the books."""

FILTERED = frozenset({"content_filter", "content_policy_violation", "invalid_prompt"})
"""Codes of a status 400 that is about the text. `invalid_prompt` is what thinking models say of a flagged one."""
_BILLING = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})


class OpenAiAdapter:
    """Calls with one key and one model. Holds a connection pool; close it."""

    name = PROVIDER

    def __init__(
        self,
        *,
        api_key: SecretStr,
        model: str,
        base_url: str | None = None,
        reasoning_effort: str | None = None,
        connections: int = 100,
    ) -> None:
        # Imported here: the SDK costs more than a second of CPU.
        import httpx2
        import openai

        self.model = model
        self.account = account_of(api_key.get_secret_value(), base_url)
        self._reasoning_effort = reasoning_effort
        self._client = openai.AsyncOpenAI(
            api_key=api_key.get_secret_value(),
            base_url=base_url or API,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpx2Client(
                limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
            ),
        )

    async def call(self, request: CompletionRequest[T], *, within: float, heard: Heard) -> Answer[T]:
        """One call. See `adapter.Adapter.call`."""
        import openai

        room: Any = room_to_think(request.max_output_tokens, self._reasoning_effort)
        try:
            raw = await self._client.chat.completions.with_raw_response.parse(
                model=self.model,
                messages=[
                    {"role": "system", "content": request.system},
                    {"role": "user", "content": request.prompt},
                ],
                response_format=request.answer,
                timeout=within,
                **room,
            )
        except openai.APIStatusError as error:
            heard(hints.limits(_lower(error.response.headers)))
            raise classify(error, model=self.model) from None
        except openai.APIError as error:
            raise classify(error, model=self.model, within=within) from None
        heard(hints.limits(_lower(raw.headers)))
        return self._read(raw, request.answer)

    def _read(self, raw: Any, answer: type[T]) -> Answer[T]:
        import openai

        names = {"provider": PROVIDER, "model": self.model}
        try:
            completion = raw.parse()
            usage = usage_of(completion.usage)
            message = completion.choices[0].message
        except openai.LengthFinishReasonError as error:
            raise costing(
                LlmResponseError("openai cut the answer off at the token ceiling", flaw=Flaw.TRUNCATED, **names),
                usage_of(error.completion.usage),
            ) from None
        except openai.ContentFilterFinishReasonError:
            raise costing(
                LlmRefusalError("openai's content filter stopped the answer", **names), _usage_in(raw)
            ) from None
        except ValidationError as error:
            raise costing(invalid(error, **names), _usage_in(raw)) from None
        except IndexError:
            raise costing(LlmResponseError("openai gave an empty answer", flaw=Flaw.EMPTY, **names), usage) from None
        except (AttributeError, TypeError, ValueError):
            # A page of some proxy with status 200, or its error as JSON: no model has seen the question.
            raise LlmUnavailableError(
                "openai answered 200 without a completion; is OPENAI_BASE_URL the address of an API?",
                provider=PROVIDER,
                model=self.model,
            ) from None
        if message.refusal:
            raise costing(LlmRefusalError("the model of openai declined to answer this text", **names), usage)
        if not isinstance(message.parsed, answer):
            raise costing(LlmResponseError("openai gave an empty answer", flaw=Flaw.EMPTY, **names), usage)
        return Answer(value=message.parsed, usage=usage)

    async def aclose(self) -> None:
        await self._client.close()


def room_to_think(max_output_tokens: int, reasoning_effort: str | None) -> dict[str, Any]:
    """The ceiling of an answer as the service takes it, online and in batches: with the thinking that goes before it."""
    if reasoning_effort is None:
        return {"max_completion_tokens": max_output_tokens}
    return {"max_completion_tokens": max_output_tokens + REASONING_ROOM, "reasoning_effort": reasoning_effort}


def classify(error: openai.APIError, *, model: str, within: float | None = None) -> LlmError:
    """The typed error for what the SDK raised. Decides by status and code; by a message only where they say nothing."""
    import openai

    if isinstance(error, openai.APITimeoutError):
        limit = f" within {within:.0f} s" if within else ""
        return LlmUnavailableError(
            f"openai did not answer{limit} (LLM_REQUEST_TIMEOUT_SECONDS)", provider=PROVIDER, model=model
        )
    if isinstance(error, openai.APIStatusError):
        return _by_status(error, model)
    if isinstance(error, openai.APIConnectionError):
        return LlmUnavailableError(
            "openai cannot be reached; is OPENAI_BASE_URL right and the network up?", provider=PROVIDER, model=model
        )
    return LlmResponseError("openai's answer could not be read", provider=PROVIDER, flaw=Flaw.MALFORMED, model=model)


def _by_status(error: openai.APIStatusError, model: str) -> LlmError:
    status, code = error.status_code, error.code
    headers = _lower(error.response.headers)
    match status:
        case 429:
            return _refused(error, headers, model)
        case 401 | 403:
            return LlmAuthenticationError(
                f"openai refused the key ({status}): check OPENAI_API_KEY, and that it may use {model} (OPENAI_MODEL)",
                provider=PROVIDER,
                model=model,
            )
        case 404:
            return unknown_model(model)
        case 408 | 409 | 425:
            pass
        case _ if status < 500:
            if code in FILTERED:
                return LlmRefusalError("openai's content filter blocked this text", provider=PROVIDER, model=model)
            return LlmRequestError(
                f"openai rejected the request ({status}{f', {code}' if code else ''}): "
                f"does {model} (OPENAI_MODEL) support structured outputs and a prompt of this length?",
                provider=PROVIDER,
                model=model,
                too_large=status == 413 or code == "context_length_exceeded",
            )
    return LlmUnavailableError(
        f"openai is not available ({status})", provider=PROVIDER, model=model, retry_after=hints.retry_after(headers)
    )


def _refused(error: openai.APIStatusError, headers: dict[str, str], model: str) -> LlmError:
    code, kind = error.code, error.type
    wait = hints.retry_after(headers)
    if wait is None:
        wait = hints.delay_in_text(error.message)
    now = datetime.now(UTC)
    if code in _BILLING or kind in _BILLING:
        return LlmQuotaError(
            "the openai account has no credit left (insufficient_quota): add credit, or raise its monthly limit",
            provider=PROVIDER,
            scope=QuotaScope.PROVIDER_BILLING,
            not_before=now + BILLING_PAUSE,
            model=model,
        )
    if wait is not None and wait >= DEFERRED_FROM:
        return LlmQuotaError(
            f"the openai quota for {model} is used up; openai asks to wait {wait / 60:.0f} minutes",
            provider=PROVIDER,
            scope=QuotaScope.PROVIDER_DAY,
            not_before=now + timedelta(seconds=wait),
            model=model,
            retry_after=wait,
        )
    if hints.never_fits(error.message):
        return LlmRequestError(
            f"the prompt is larger than all that openai admits for {model} in tokens per minute: raise the account's "
            "limit, or take another OPENAI_MODEL",
            provider=PROVIDER,
            model=model,
            too_large=True,
        )
    return LlmRateLimitError(
        f"openai limits the {'tokens' if kind == 'tokens' else 'requests'} per minute of {model}",
        provider=PROVIDER,
        model=model,
        retry_after=wait,
        ramping=code == "slow_down" or (wait is None and code != "rate_limit_exceeded"),
        dimension=kind if kind in ("requests", "tokens") else None,
    )


def usage_of(usage: Any) -> Usage:
    """Tokens of one call, from the SDK's object or from the body's. A body without usage counts as nothing.

    The SDK does not validate, and other servers at OPENAI_BASE_URL count in their own ways: what is no count is none,
    and costs no answer.
    """
    details = _part(usage, "prompt_tokens_details")
    return Usage(
        input_tokens=_tokens(_part(usage, "prompt_tokens")),
        output_tokens=_tokens(_part(usage, "completion_tokens")),
        cached_tokens=_tokens(_part(details, "cached_tokens")),
    )


def _usage_in(raw: Any) -> Usage:
    """Usage of an answer that could not be parsed: it was paid for all the same."""
    body = raw.http_response.json()
    return usage_of(body.get("usage") if isinstance(body, dict) else None)


def _part(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _tokens(value: Any) -> int:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if number and 0 <= value <= MOST_TOKENS else 0


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def unknown_model(model: str) -> LlmRequestError:
    """404: every other question to this model would meet it too."""
    error = LlmRequestError(
        f"openai knows no model {model} at this address: check OPENAI_MODEL and OPENAI_BASE_URL",
        provider=PROVIDER,
        model=model,
    )
    error.final = True
    return error
