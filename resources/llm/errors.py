"""Everything that can go wrong between a prompt and an answer, decided once, where it is first seen.

    LlmError
    ├── LlmRateLimitError       transient  paced out: a provider's limit by the minute; wait, it is nobody's fault
    ├── LlmQuotaError           transient  a day's quota, a bill or a budget is used up; defer until `not_before`
    ├── LlmUnavailableError     transient  timeouts, resets, 5xx, no completion in the body, or the breaker is open
    ├── LlmDeadlineError        transient  the task's time was over before an answer came
    ├── LlmResponseError        transient  empty, malformed, truncated or outside the schema; ask again, differently
    ├── LlmRefusalError         permanent  the model or a filter declines this text
    ├── LlmRequestError         permanent  400, 404, 422: the call itself is wrong
    └── LlmAuthenticationError  permanent  401, 403, or no key at all

Every message is a sentence for the person who can do something about it, and names the variable to set. No message
holds a key, a prompt or a provider's raw body.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from resources.errors import PermanentError, TransientError
from resources.llm.protocol import Spent, Usage


class ErrorCode(StrEnum):
    """Stable names, for columns, dashboards and API problem types."""

    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    UNAVAILABLE = "unavailable"
    DEADLINE = "deadline"
    INVALID_RESPONSE = "invalid_response"
    REFUSED = "refused"
    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"


class QuotaScope(StrEnum):
    """Whose limit it is, and so when it can be over."""

    PROVIDER_MINUTE = "provider_minute"
    PROVIDER_DAY = "provider_day"
    PROVIDER_BILLING = "provider_billing"
    """`insufficient_quota`: waiting does not help, paying does."""
    USER_BUDGET = "user_budget"


class Flaw(StrEnum):
    """What was wrong with an answer."""

    EMPTY = "empty"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    """Cut off at `max_output_tokens`: ask for less, or allow more."""
    OUTSIDE_SCHEMA = "outside_schema"


class LlmError(Exception):
    """Base of the tree. `provider` is the name used in LLM_PROVIDERS; `usage` is what was spent in vain."""

    code: ErrorCode

    provider: str
    model: str
    usage: Usage
    shares: Spent
    """Who took which part of `usage`, where more than one was tried; see `spent`."""
    warnings: tuple[str, ...]
    final: bool
    """Calling again at once, with whatever question, would meet it again: our own pace or breaker, an unknown model."""

    def _facts(self, provider: str, model: str) -> None:
        self.provider = provider
        self.model = model
        self.usage = Usage()
        self.shares = {}
        self.warnings = ()
        self.final = False

    @property
    def spent(self) -> Spent:
        """`usage` by who took it, for the books."""
        return self.shares or {(self.provider, self.model): self.usage}

    def charge(self, spent: Spent) -> None:
        """What it cost in all, this error's own part included."""
        self.shares = spent
        self.usage = sum(spent.values(), Usage())


class _TransientLlmError(LlmError, TransientError):
    def __init__(self, message: str, *, provider: str, model: str = "", retry_after: float | None = None) -> None:
        TransientError.__init__(self, message, retry_after=retry_after)
        self._facts(provider, model)


class _PermanentLlmError(LlmError, PermanentError):
    def __init__(self, message: str, *, provider: str, model: str = "") -> None:
        PermanentError.__init__(self, message)
        self._facts(provider, model)


class LlmRateLimitError(_TransientLlmError):
    """429 for a limit by the minute, or for sending too fast. Obey `retry_after`; it does not count as an attempt."""

    code = ErrorCode.RATE_LIMITED

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        model: str = "",
        retry_after: float | None = None,
        ramping: bool = False,
        dimension: str | None = None,
        limit_per_minute: float | None = None,
    ) -> None:
        super().__init__(message, provider=provider, model=model, retry_after=retry_after)
        self.ramping = ramping
        """The provider names no limit that was passed, only that the pace is too high (`slow_down`)."""
        self.dimension = dimension
        """`requests` or `tokens`, where the provider says which."""
        self.limit_per_minute = limit_per_minute
        """The limit itself, where the refusal names it (Gemini's `quotaValue`)."""


class LlmQuotaError(_TransientLlmError):
    """Nothing will be answered before `not_before`. Rows stay pending; another provider may take over."""

    code = ErrorCode.QUOTA_EXCEEDED

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        scope: QuotaScope,
        not_before: datetime,
        model: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, provider=provider, model=model, retry_after=retry_after)
        self.scope = scope
        self.not_before = not_before
        """Aware. When it makes sense to try again."""


class LlmUnavailableError(_TransientLlmError):
    """The provider cannot be reached, or answers with 5xx or no completion; raised after the attempts are used up."""

    code = ErrorCode.UNAVAILABLE


class LlmDeadlineError(_TransientLlmError):
    """The task's total time (LLM_DEADLINE_SECONDS) is over, or what is left is less than the next wait."""

    code = ErrorCode.DEADLINE


class LlmResponseError(_TransientLlmError):
    """An answer came and cannot be used. `flaw` says what to change when asking again."""

    code = ErrorCode.INVALID_RESPONSE

    def __init__(self, message: str, *, provider: str, flaw: Flaw, model: str = "") -> None:
        super().__init__(message, provider=provider, model=model)
        self.flaw = flaw


class LlmRefusalError(_PermanentLlmError):
    """The model declined, or a safety filter blocked the prompt or the answer."""

    code = ErrorCode.REFUSED


class LlmRequestError(_PermanentLlmError):
    """The provider understood and says no: unknown model, unsupported schema, prompt too long."""

    code = ErrorCode.INVALID_REQUEST

    def __init__(self, message: str, *, provider: str, model: str = "", too_large: bool = False) -> None:
        super().__init__(message, provider=provider, model=model)
        self.too_large = too_large
        """Less of the same would be taken: ask in parts."""


class LlmAuthenticationError(_PermanentLlmError):
    """The key is missing, wrong, or not allowed to use the model. Never retried, by anyone."""

    code = ErrorCode.AUTHENTICATION


TAKE_OVER = (LlmQuotaError, LlmRateLimitError, LlmUnavailableError, LlmDeadlineError, LlmAuthenticationError)
"""What the next provider may answer instead. The others are about the request, and would meet it again."""
