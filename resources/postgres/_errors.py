"""What can go wrong with the embedded server. Each message says what to do next."""

from __future__ import annotations

from pathlib import Path

from resources.errors import PermanentError, TransientError

_TAIL_BYTES = 4096
_TAIL_LINES = 15


class EmbeddedServerError(PermanentError):
    """The embedded PostgreSQL cannot run until somebody changes something."""


class EmbeddedServerBusyError(TransientError):
    """The embedded PostgreSQL is being started or stopped by somebody else, or takes long to recover."""


def log_tail(path: Path, *, start: int = 0) -> str:
    """The last lines of a server log from byte `start` on, indented under a heading; empty when there is nothing."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start, size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
    except OSError:
        return ""
    return "".join(["\nLast lines of the server log:"] + [f"\n  {line}" for line in lines]) if lines else ""
