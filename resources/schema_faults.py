"""What may be told of text that misses its schema: the text itself is from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def field_of(fault: ErrorDetails, *, root: str) -> str:
    """Where the fault is, for a message; `root` where it is in the whole.

    Without the name of a field that the schema does not have: a model made it up, and it may be long or hostile.
    """
    ours = fault["loc"][:-1] if fault["type"] == "extra_forbidden" else fault["loc"]
    return ".".join(map(str, ours)) or root
