"""A provider to test against: started as its own process, reached through OPENAI_BASE_URL or GEMINI_BASE_URL.

    with fake_provider(rpm=1200) as provider:
        client = AsyncOpenAI(api_key="any", base_url=provider.openai_url, max_retries=0)
        ...
        provider.books()["rejected"]

What it enforces and what goes wrong is in `llm_server.Config`. Rows that were lost are counted from the client's own
output; the books tell what the provider saw, which no client can embellish.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

SEVEN_PERCENT = {
    "server_error": 0.025,
    "html_error": 0.01,
    "reset": 0.01,
    "stall": 0.005,
    "malformed": 0.008,
    "refusal": 0.006,
    "empty": 0.006,
}
"""The fault profile of the benchmarks: 3.5 % 5xx, 1 % resets, 0.5 % silence, 2 % bad content."""


@dataclass(frozen=True, slots=True)
class FakeProvider:
    """A running provider."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def gemini_url(self) -> str:
        return self.url

    def books(self) -> dict[str, Any]:
        """What the provider saw so far."""
        return self._ask("/_books")

    def configure(self, **changes: Any) -> None:
        """Change what it does from now on; buckets are full again."""
        self._ask("/_config", changes)

    def reset(self, **config: Any) -> None:
        """A provider as new: empty books, full buckets, the default settings but for those given."""
        self._ask("/_reset", config)

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data)
        with urllib.request.urlopen(request, timeout=10) as reply:
            answer: dict[str, Any] = json.load(reply)
        return answer


@contextmanager
def fake_provider(
    *, module: str = "tests.fakes.llm_server", environment: Mapping[str, str] | None = None, **config: Any
) -> Iterator[FakeProvider]:
    """Start a provider with the settings of `llm_server.Config`; it ends with the block, or with this process.

    `module` is one that runs `llm_server.main` with answers of its own, which `environment` may tell more.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, json.dumps(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        line = process.stdout.readline()
        yield FakeProvider(json.loads(line)["port"])
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()
