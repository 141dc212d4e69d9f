"""Several providers behind one another, in the order of LLM_PROVIDERS.

The next one takes over when a provider cannot answer now (quota, pace, outage, deadline, key), never because it did not
like the question: a refusal or a broken answer is about the request, and comes back to whoever asked.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from resources.llm.errors import (
    TAKE_OVER,
    LlmAuthenticationError,
    LlmDeadlineError,
    LlmError,
    LlmQuotaError,
    LlmRateLimitError,
    LlmUnavailableError,
)
from resources.llm.protocol import Closing, Completion, CompletionRequest, Deadline, LlmClient, Spent, T, together

_log = logging.getLogger(__name__)

# When nobody could answer, the error that says most about when somebody can. A quota defers the row; a wrong key
# beside it is in the warnings and in the log, and would otherwise make the deferral look like a failure.
_MOST_TELLING = (LlmQuotaError, LlmRateLimitError, LlmDeadlineError, LlmUnavailableError, LlmAuthenticationError)


def warning_of(error: LlmError) -> str:
    """The stable code that a result carries when `error` made the next provider take over."""
    kind = "quota-exceeded" if isinstance(error, LlmQuotaError | LlmRateLimitError) else error.code.replace("_", "-")
    return f"{error.provider}-{kind}"


class FallbackClient(Closing):
    """Tries its clients in order. With one client it adds nothing but the warning."""

    def __init__(self, clients: Sequence[LlmClient]) -> None:
        if not clients:
            raise ValueError("no provider to ask")
        self._clients = tuple(clients)
        self._said: set[str] = set()

    async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:
        """The first answer. Raises the most telling error when nobody answers, with all warnings and usage on it."""
        failures: list[LlmError] = []
        spent: Spent = {}
        for client in self._clients:
            try:
                completion = await client.complete(request, deadline=deadline)
            except TAKE_OVER as error:
                failures.append(error)
                spent = together(spent, _own(error))
                self._say(error)
            except LlmError as error:
                error.charge(together(spent, _own(error)))
                error.warnings = (*(warning_of(failure) for failure in failures), *error.warnings)
                raise
            else:
                return completion.costing(spent, tuple(warning_of(failure) for failure in failures))
        telling = min(failures, key=_rank)
        telling.charge(spent)
        telling.warnings = tuple(warning_of(failure) for failure in failures)
        raise telling

    def _say(self, error: LlmError) -> None:
        """Once a kind and client: a thousand rows deferred for one reason are one line in the log."""
        code = warning_of(error)
        level = logging.DEBUG if code in self._said else logging.WARNING
        self._said.add(code)
        _log.log(level, "%s: %s", code, error)

    async def aclose(self) -> None:
        for client in self._clients:
            await client.aclose()


def _own(error: LlmError) -> Spent:
    """What one provider took. Not `error.spent`: a wall may be an error that was charged with others' calls before."""
    return {(error.provider, error.model): error.usage}


def _rank(error: LlmError) -> int:
    return next(place for place, kind in enumerate(_MOST_TELLING) if isinstance(error, kind))
