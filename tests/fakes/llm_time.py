"""Time that passes only when somebody waits for it, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it, unless a thread is at work."""

    def __init__(self) -> None:
        super().__init__()
        self._skipped = 0.0
        self._threads = 0

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._returned)
        return future

    def _returned(self, _: asyncio.Future[Any]) -> None:
        self._threads -= 1

    def time(self) -> float:
        return super().time() + self._skipped

    def _run_once(self) -> None:
        if not self._ready and self._scheduled and not self._threads:  # type: ignore[attr-defined]
            self._skipped += max(0.0, self._scheduled[0]._when - self.time())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def play(scene: Callable[[Loop], Coroutine[Any, Any, None]]) -> None:
    """Run a scene to its end on such a loop."""
    loop = Loop()
    try:
        loop.run_until_complete(asyncio.wait_for(scene(loop), 36_000))
    finally:
        loop.close()
