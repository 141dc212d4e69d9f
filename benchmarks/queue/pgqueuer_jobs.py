"""pgqueuer with its psycopg driver and its default times."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import psycopg
from pgqueuer import PgQueuer
from pgqueuer.db import PsycopgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

from benchmarks.queue.child import INSERT, act, hang_once, task

given = task()


async def _connect() -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(given["url"], autocommit=True)


def install(_given: dict[str, Any]) -> None:
    async def run() -> None:
        await Queries(PsycopgDriver(await _connect())).install()

    asyncio.run(run())


def fill(given: dict[str, Any]) -> None:
    async def run() -> None:
        queries = Queries(PsycopgDriver(await _connect()))
        count = given["jobs"]
        await queries.enqueue(["work"] * count, [str(n).encode() for n in range(count)], [0] * count)

    asyncio.run(run())


def run(given: dict[str, Any]) -> None:
    async def loop() -> None:
        connection = await _connect()
        queuer = PgQueuer(PsycopgDriver(connection))
        writer = await _connect()

        @queuer.entrypoint("work")
        async def work(job: Job) -> None:
            if given["action"] == "hang":
                hang_once(given["hung"])
            await writer.execute(INSERT, ((job.payload or b"").decode(), os.getpid()))

        mode = QueueExecutionMode.drain if given["action"] == "drain" else QueueExecutionMode.continuous
        await queuer.run(batch_size=10, mode=mode)

    asyncio.run(loop())


if __name__ == "__main__":
    act(given, {"install": install, "fill": fill, "drain": run, "wait": run, "hang": run})
