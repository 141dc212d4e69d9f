"""Background tasks, and how to end one for certain."""

from __future__ import annotations

import asyncio
from typing import Any

_AGAIN_SECONDS = 0.5


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel until the task is over: `asyncio.wait_for` before Python 3.12 can swallow a cancellation.

    What the task raised before stays with it and is not raised here.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_SECONDS)
