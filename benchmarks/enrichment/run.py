"""Ours against the openai SDK with its own retries, langchain's batch with a rate limiter, and the naive loop.

    python -m benchmarks.enrichment.run                       # every scenario, every client
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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks._figures import Comparison, Group
from benchmarks._measure import Bar, bars_table, markdown_table
from benchmarks._options import Options, note
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
OURS = "ours"
LIMITS = {"plain": 1.10, "faults": 1.20}
"""The largest span by the ideal; 1.15 for the scenarios that are not named."""


def bars(rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """What must hold of ours."""
    result = []
    for row in rows:
        if row["client"] == OURS:
            name = row["scenario"]
            result += [
                Bar(f"span by the ideal, {name}", row["x"], LIMITS.get(name, 1.15)),
                Bar(f"rows lost, {name}", row["lost"], 0, unit=""),
            ]
    return result


def comparisons(rows: Sequence[Mapping[str, Any]]) -> list[Comparison]:
    """Pace, cost and politeness. Who gave up rows was asked less: neither its pace nor its CPU compares."""
    here = {
        name: [row for row in rows if row["scenario"] == name] for name in dict.fromkeys(r["scenario"] for r in rows)
    }

    def groups(column: str, *, complete: bool) -> list[Group]:
        result: list[Group] = []
        for name, found in here.items():
            group: Group = {"label": name, "values": {row["client"]: row[column] for row in found}}
            if complete:
                group["not_comparable"] = {row["client"]: f"lost {row['lost']} rows" for row in found if row["lost"]}
            result.append(group)
        return result

    return [
        {
            "title": "Span by the ideal",
            "unit": "x",
            "lower_is_better": True,
            "score": True,
            "groups": groups("x", complete=True),
        },
        {
            "title": "Rows lost",
            "unit": "rows",
            "lower_is_better": True,
            "score": True,
            "groups": groups("lost", complete=False),
        },
        {
            "title": "Answers 429",
            "unit": "refusals",
            "lower_is_better": True,
            "score": True,
            "groups": groups("rejected", complete=True),
        },
        {
            "title": "CPU of the clients",
            "unit": "s",
            "lower_is_better": True,
            "groups": groups("cpu_seconds", complete=True),
        },
    ]


NOTE = (
    "`x` is the provider's span by the ideal; below 1 means that rows were given up. `lost` are rows that the client did "
    "not return, `rejected` are answers 429. Peers are told the limit where they can be, ours is told nothing. langchain "
    "is `batch` with its own rate limiter; the naive loop tries three times, 1, 2 and 4 seconds apart."
)


def report(rows: Sequence[Mapping[str, Any]], questions: int) -> str:
    """The section of the report."""
    title = f"## Enrichment: {questions} questions at most to a provider with a token bucket"
    return "\n\n".join([title, NOTE, bars_table(bars(rows)), markdown_table(COLUMNS, rows)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the figures where they were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS))
    parser.add_argument("--client", action="append", choices=CLIENTS)
    parser.add_argument("--quick", action="store_true", help="100 questions of the plain scenario")
    parser.add_argument("--without-peers", action="store_true", help="measure ours only")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args(arguments)
    scenarios = [SCENARIOS[name] for name in given.scenario or (["plain"] if given.quick else SCENARIOS)]
    if given.quick:
        scenarios = [replace(scenario, rows=100) for scenario in scenarios]
    rows = []
    with database() as url:
        for scenario in scenarios:
            for client in given.client or ([OURS] if given.without_peers else CLIENTS):
                if not available(client):
                    raise SystemExit(f"{client} is not installed: python -m benchmarks enrichment brings it along")
                note(f"enrichment: {scenario.name}, {client}")
                row = measure(scenario, client, url)
                if scenario.name == "tokens" and abs(row["tokens_a_row"] - TOKENS_A_ROW) > TOKENS_A_ROW * 0.1:
                    raise SystemExit(f"a row costs {row['tokens_a_row']} tokens, the profile says {TOKENS_A_ROW}")
                rows.append(row)
    options = Options(sizes=(), without_peers=given.without_peers, json=given.json)
    questions = max(scenario.rows for scenario in scenarios)
    options.write(report(rows, questions), rows, bars(rows), comparisons=comparisons(rows))


if __name__ == "__main__":
    main()
