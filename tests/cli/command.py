"""What a command of the command line left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Done:
    """Exit status and what was printed."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON object on the last line of standard output, which nothing else is on."""
        value = json.loads(self.out.splitlines()[-1])
        assert isinstance(value, dict)
        return value


Command = Callable[..., Done]
