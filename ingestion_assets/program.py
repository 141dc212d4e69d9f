"""How each program of the platform begins and ends: with the settings of `.env`, and with a sentence after an error."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from resources.errors import PermanentError, TransientError


@contextmanager
def program(name: str) -> Iterator[None]:
    """Read `.env`, then run the block. An error of the platform is one sentence and exit status 1, no traceback."""
    from dotenv import load_dotenv

    from resources.settings import PROJECT_ROOT

    load_dotenv(PROJECT_ROOT / ".env")
    try:
        yield
    except (PermanentError, TransientError) as error:
        _end(f"{name}: {error}")
    except Exception as error:  # noqa: BLE001 - the edge of the program: every error ends in `_end`
        sentence = _setup_problem(error)
        # Without one it is a defect: its traceback helps to repair it, but errors of libraries quote what they were given.
        _end("".join(traceback.format_exception(error)) if sentence is None else f"{name}: {sentence}")


def _end(text: str) -> NoReturn:
    from resources.redaction import redact

    sys.stderr.write(redact(text).rstrip("\n") + "\n")
    sys.exit(1)


def _setup_problem(error: Exception) -> str | None:
    """What to change, when the error is of the user's making: of a setting, the database it leads to, a file or a text."""
    import psycopg
    from pydantic import ValidationError

    from resources.settings import unusable

    if isinstance(error, ValidationError):
        return unusable(error)
    if isinstance(error, UnicodeEncodeError):
        if error.encoding == "utf-8":
            return f"a text holds {error.object[error.start : error.end]!a}, which is no UTF-8: write it anew"
        return f"standard output is in {error.encoding}, which lacks some characters: set PYTHONIOENCODING=utf-8"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ConnectionError | TimeoutError):
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"{place}{error.strerror}. Look at the path, at who may use it, and at the space that is left"
    cause = getattr(error, "orig", error)  # SQLAlchemy wraps the driver's error
    if isinstance(cause, psycopg.ProgrammingError) and cause.sqlstate is None and "URI" in str(cause):
        # Not in the words of libpq: it quotes the URL with its password.
        return "the URL of the database cannot be read: look at its host and port, and write @ as %40, / as %2F"
    if isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None:
        first = str(cause).partition("\n")[0]
        return f"PostgreSQL does not answer ({first}). Is the server of DATABASE_URL up, and the URL right?"
    return None
