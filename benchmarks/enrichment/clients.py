"""The clients that are compared, each in a process of its own: `python -m benchmarks.enrichment.clients NAME JSON`.

The last line on standard output is one JSON object: rows answered, CPU seconds (imports included), peak memory. What
was lost is counted from the rows that a client really returned.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.enrichment.profile import KEY, MAX_OUTPUT_TOKENS, MODEL, SYSTEM, Tags, prompt


@dataclass(frozen=True, slots=True)
class Task:
    """What one process is told. Only some clients can use all of it: `rpm` is what the peers must be told."""

    url: str
    rows: list[int]
    timeout: float
    rpm: float
    processes: int
    database_url: str | None = None
    seconds: float = 240.0


Row = tuple[int, bool]


def messages(row: int) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt(row)}]


async def ours(task: Task) -> set[int]:
    """resources.llm, told nothing about the limit."""
    from resources.llm import CompletionRequest, Deadline, LlmError, LlmSettings, build_client
    from resources.llm.asking import ask
    from resources.postgres.database import Database

    settings = LlmSettings(
        llm_providers="openai",  # type: ignore[arg-type]
        openai_api_key=KEY,  # type: ignore[arg-type]
        openai_base_url=task.url,
        openai_model=MODEL,
        llm_request_timeout_seconds=task.timeout,
    )
    done: set[int] = set()
    deadline = Deadline.after(task.seconds)
    gate = asyncio.Semaphore(settings.llm_concurrency)
    database = Database(task.database_url) if task.database_url else None
    async with build_client(settings, database=database) as client:

        async def one(row: int) -> None:
            request = CompletionRequest(
                system=SYSTEM,
                prompt=prompt(row),
                answer=Tags,
                max_output_tokens=MAX_OUTPUT_TOKENS,
                purpose="benchmark",
            )
            async with gate:
                try:
                    await ask(client, request, deadline=deadline)
                except LlmError:
                    return
            done.add(row)

        await asyncio.gather(*(one(row) for row in task.rows))
    return done


async def openai_sdk(task: Task) -> set[int]:
    """The SDK with its own retries behind a semaphore, as its documentation shows."""
    import openai
    from pydantic import ValidationError

    gate = asyncio.Semaphore(64)
    done: set[int] = set()
    client = openai.AsyncOpenAI(api_key=KEY, base_url=task.url, max_retries=10, timeout=task.timeout)

    async def one(row: int) -> None:
        async with gate:
            try:
                answer = await client.chat.completions.parse(
                    model=MODEL,
                    messages=messages(row),  # type: ignore[arg-type]
                    response_format=Tags,
                    max_completion_tokens=MAX_OUTPUT_TOKENS,
                )
            except (openai.OpenAIError, ValidationError):
                return
            if answer.choices[0].message.parsed is not None:
                done.add(row)

    await asyncio.gather(*(one(row) for row in task.rows))
    await client.close()
    return done


async def langchain(task: Task) -> set[int]:
    """abatch with its rate limiter, which has to be told the limit, and with_retry."""
    from langchain_core.rate_limiters import InMemoryRateLimiter
    from langchain_openai import ChatOpenAI

    limiter = InMemoryRateLimiter(
        requests_per_second=task.rpm / 60 * 0.98, check_every_n_seconds=0.02, max_bucket_size=5
    )
    model = ChatOpenAI(
        model=MODEL,
        api_key=KEY,  # type: ignore[arg-type]
        base_url=task.url,
        timeout=task.timeout,
        max_retries=2,
        rate_limiter=limiter,
        max_tokens=MAX_OUTPUT_TOKENS,  # type: ignore[call-arg]
    )
    chain = model.with_structured_output(Tags, method="json_schema").with_retry(stop_after_attempt=5)
    asked: list[Any] = [messages(row) for row in task.rows]
    answers = await chain.abatch(asked, config={"max_concurrency": 64}, return_exceptions=True)
    return {row for row, answer in zip(task.rows, answers, strict=True) if isinstance(answer, Tags)}


def naive(task: Task) -> set[int]:
    """Threads, three attempts, 2^attempt seconds: what most enrichment scripts begin as."""
    import openai
    from pydantic import ValidationError

    client = openai.OpenAI(api_key=KEY, base_url=task.url, max_retries=0, timeout=task.timeout)

    def one(row: int) -> Row:
        for attempt in range(3):
            try:
                answer = client.chat.completions.parse(
                    model=MODEL,
                    messages=messages(row),  # type: ignore[arg-type]
                    response_format=Tags,
                    max_completion_tokens=MAX_OUTPUT_TOKENS,
                )
            except (openai.OpenAIError, ValidationError):
                time.sleep(2**attempt)
                continue
            return row, answer.choices[0].message.parsed is not None
        return row, False

    with ThreadPoolExecutor(32) as pool:
        return {row for row, answered in pool.map(one, task.rows) if answered}


ASYNC: dict[str, Callable[[Task], Coroutine[Any, Any, set[int]]]] = {
    "ours": ours,
    "openai-sdk": openai_sdk,
    "langchain": langchain,
}
CLIENTS = (*ASYNC, "naive")


def _peak_kilobytes() -> int:
    """Peak memory of this program. `ru_maxrss` would count what the parent held when it forked."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    name, task = sys.argv[1], Task(**json.loads(sys.argv[2]))
    began = time.monotonic()
    done = asyncio.run(ASYNC[name](task)) if name in ASYNC else naive(task)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "done": sorted(done),
                "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
                "rss_mb": round(_peak_kilobytes() / 1024),
                "seconds": round(time.monotonic() - began, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
