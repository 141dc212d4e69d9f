"""What a source that makes a request an event thinks of those that fail: pure counting.

Belongs here: when one failure is bad luck, and when many are an outage. How often one request is tried belongs to the
client (`resources/http.py`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from resources.errors import TransientError

_FAILURES_IN_A_ROW = 3
"""One record or page may be broken; when one after another fails, the service is down."""
_MOST_POSTPONED = 10
"""Asked for once more at the end: of hundreds one has bad luck with every try. Each costs half a minute."""


@dataclass(slots=True)
class Patience:
    """The failures of one fetch."""

    in_a_row: int = 0
    postponed: set[Hashable] = field(default_factory=set)

    def answered(self) -> None:
        """The service answers, whatever it says."""
        self.in_a_row = 0

    def asks_again(self, what: Hashable, error: TransientError) -> bool:
        """Whether `what`, which could not be had, is to be asked for at the end. Raises `error` in an outage."""
        if what in self.postponed:
            # These follow each other however far apart they first failed.
            return False
        self.in_a_row += 1
        if self.in_a_row >= _FAILURES_IN_A_ROW:
            raise error
        if len(self.postponed) >= _MOST_POSTPONED:
            return False
        self.postponed.add(what)
        return True
