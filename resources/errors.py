"""The one question every retry mechanism asks of an error: could the same call succeed later?

It is decided once, where the error is made, by the class that carries it. The outbound HTTP client, the database
helpers and the LLM clients derive their own errors from these two; op retries, run retries and sensors only look at
the class.

Their messages go to logs, ledgers and Dagster's event log, and often quote what a service said: credentials are masked
when the error is made, so that nobody who makes one can forget it.
"""

from __future__ import annotations

from resources.redaction import redact


class TransientError(Exception):
    """The same call may succeed later: a timeout, a reset connection, a server that is restarting.

    `retry_after` is the delay in seconds that the other side named, or None when it named none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(redact(message))
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        # The default drops keyword-only arguments; errors cross process boundaries and must keep their facts.
        return _rebuild, (type(self), self.args, self.__dict__)


class PermanentError(Exception):
    """The same call will fail again until somebody changes something; the message says what to change."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[Exception], args: tuple[object, ...], state: dict[str, object]) -> Exception:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error
