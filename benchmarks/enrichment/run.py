"""Ours against the openai SDK with its own retries, langchain's batch with a rate limiter, and the naive loop.

    python -m benchmarks.enrichment.run                       # every scenario, every client that is installed
    python -m benchmarks.enrichment.run --scenario plain --client ours

Everybody meets the same fake provider (tests/fakes/llm_provider.py) with a true token bucket, in one run. `x` is the
provider's span by the ideal; below 1 means that rows were given up. `lost` are rows that the client did not return.
Peers are told the limit where they can be; ours is told nothing. `python -m benchmarks enrichment` brings langchain-openai
along, in an environment beside ours.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.enrichment.clients import CLIENTS
from benchmarks.enrichment.profile import SCENARIOS, TOKENS_A_ROW, Scenario
from tests.fakes.llm_provider import fake_provider

ROOT = Path(__file__).parents[2]


def measure(scenario: Scenario, client: str, database_url: str | None) -> dict[str, Any]:
    """One scenario with one client, from a full bucket."""
    with fake_provider(**scenario.config) as provider:
        share = [list(range(place, scenario.rows, scenario.processes)) for place in range(scenario.processes)]
        processes = [
            _start(scenario, client, rows, provider.openai_url, database_url if scenario.processes > 1 else None)
            for rows in share
        ]
        reports = [_report(process, scenario.give_up_after + 60) for process in processes]
        books = provider.books()
    done = {row for report in reports for row in report["done"]}
    answered = max(1, books["answered"])
    tokens_a_row = books["tokens"] / answered
    return {
        "scenario": scenario.name,
        "client": client,
        "x": round(books["span"] / scenario.ideal(tokens_a_row), 3),
        "span": round(books["span"], 1),
        "rejected": books["rejected"],
        "lost": scenario.rows - len(done),
        "accepted": books["accepted"],
        "duplicates": books["duplicates"],
        "cpu_seconds": round(sum(report["cpu_seconds"] for report in reports), 1),
        "rss_mb": max(report["rss_mb"] for report in reports),
        "tokens_a_row": round(tokens_a_row),
        "verdicts": books["verdicts"],
    }


def _start(
    scenario: Scenario, client: str, rows: list[int], url: str, database_url: str | None
) -> subprocess.Popen[str]:
    task = {
        "url": url,
        "rows": rows,
        "timeout": scenario.timeout,
        "rpm": scenario.rpm,
        "processes": scenario.processes,
        "database_url": database_url,
        "seconds": scenario.give_up_after,
    }
    command = [sys.executable, "-m", "benchmarks.enrichment.clients", client, json.dumps(task)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def _report(process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"done": [], "cpu_seconds": 0.0, "rss_mb": 0}
    if process.returncode != 0:
        raise RuntimeError(errors[-2000:])
    report: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return report


@contextlib.contextmanager
def database() -> Iterator[str]:
    """An embedded PostgreSQL with our tables, for the scenario with several processes."""
    from resources.postgres.migrate import upgrade
    from resources.postgres.server import EmbeddedServer
    from resources.postgres.urls import sqlalchemy_psycopg

    with tempfile.TemporaryDirectory(prefix="llm-bench-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedServer(Path(folder) / "postgres")
        server.start()
        try:
            server.ensure_database("llm_bench")
            upgrade(sqlalchemy_psycopg(server.url("llm_bench")))
            yield server.url("llm_bench")
        finally:
            server.destroy()


def available(client: str) -> bool:
    return client != "langchain" or importlib.util.find_spec("langchain_openai") is not None


COLUMNS = ("scenario", "client", "x", "span", "rejected", "lost", "accepted", "duplicates", "cpu_seconds", "rss_mb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS))
    parser.add_argument("--client", action="append", choices=CLIENTS)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    rows = []
    print(" ".join(f"{column:>16}" for column in COLUMNS))
    with database() as url:
        for name in arguments.scenario or SCENARIOS:
            for client in arguments.client or CLIENTS:
                if not available(client):
                    print(f"{name:>16} {client:>16} is not installed", file=sys.stderr)
                    continue
                row = measure(SCENARIOS[name], client, url)
                if name == "tokens" and abs(row["tokens_a_row"] - TOKENS_A_ROW) > TOKENS_A_ROW * 0.1:
                    raise SystemExit(f"a row costs {row['tokens_a_row']} tokens, the profile says {TOKENS_A_ROW}")
                rows.append(row)
                print(" ".join(f"{row[column]!s:>16}" for column in COLUMNS), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
