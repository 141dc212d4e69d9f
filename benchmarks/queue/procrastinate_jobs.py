"""procrastinate, as its documentation shows it; `retry_stalled` adds the periodic task that it leaves to the user."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import procrastinate

from benchmarks.queue.child import INSERT, act, hang_once, task

given = task()
connector = procrastinate.PsycopgConnector(conninfo=given["url"], min_size=1, max_size=10)
app = procrastinate.App(connector=connector)


@app.task(name="work")
async def work(n: int) -> None:
    """One row, on the library's own pool."""
    if given["action"] == "hang":
        hang_once(given["hung"])
    async with connector.pool.connection() as connection:
        await connection.execute(INSERT, (str(n), os.getpid()))


def install(_given: dict[str, Any]) -> None:
    async def run() -> None:
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    asyncio.run(run())


def fill(given: dict[str, Any]) -> None:
    async def run() -> None:
        async with app.open_async():
            await work.batch_defer_async(*({"n": n} for n in range(given["jobs"])))

    asyncio.run(run())


def run(given: dict[str, Any]) -> None:
    async def loop() -> None:
        async with app.open_async():
            await app.run_worker_async(
                wait=given["action"] != "drain",
                concurrency=given.get("concurrency", 10),
                listen_notify=given["action"] != "drain",
                install_signal_handlers=False,
            )

    asyncio.run(loop())


if __name__ == "__main__":
    act(given, {"install": install, "fill": fill, "drain": run, "wait": run, "hang": run})
