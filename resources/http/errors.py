"""What can go wrong with a call, as classes. Messages are redacted before they get here.

TransientError                     (resources.errors)
└── OutboundFailure                given up: attempts or time are used up
    └── BudgetSpent                not even sent: the hourly or daily budget is spent
PermanentError                     (resources.errors)
├── HttpStatusError                a status that a repeat would not change
├── AddressRefusedError            the address guard said no
├── BodyRefusedError               too large, a compression bomb, or an encoding nobody asked for
└── BodyError                      complete, but not what it should be (not JSON)
    └── NestingError               JSON too deep to be honest; a repeat would not help
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from resources.http.reply import Reply


class OutboundFailure(TransientError):  # noqa: N818 - an outcome of a call, named as callers speak of it
    """The call was given up after its attempts, or because the wait that was named does not fit its deadline.

    `retry_after` is the delay in seconds the service named last, `reply` its last answer if there was one.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, reply: Reply | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.reply = reply


class BudgetSpent(OutboundFailure):
    """The request was not sent: the policy's budget is spent. `retry_after` is the time until it is not."""


class HttpStatusError(PermanentError):
    """The service answered with a status that the same request would get again."""

    def __init__(self, message: str, *, status: int, reply: Reply) -> None:
        super().__init__(message)
        self.status = status
        self.reply = reply


class AddressRefusedError(PermanentError):
    """The URL, or the address its name stands for, is not one this process may call."""


class BodyRefusedError(PermanentError):
    """The body is over a size limit, inflates beyond reason, or has an encoding that was not asked for."""


class BodyError(PermanentError):
    """The body is complete but cannot be read as what it should be."""


class NestingError(BodyError):
    """The JSON is nested deeper than any parser here follows (about 1,000 levels)."""
