"""From two years of records of seven sources to deduplicated events, through the assets: how cost grows.

    python -m benchmarks.scale.run [--quick] [--size N] [--json FILE]

Every step is a Dagster run in a process of its own. By records: an import a source and one deduplication, then both
again with nothing new. By sources: as many records, listed by one, three and seven of them. By workers: the imports, and
the deduplication as the four runs of a backfill, by one worker and by two. A million records take twenty minutes and are
measured when asked for (`--size 1000000`). Prints Markdown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from benchmarks._options import Options, read_options
from benchmarks.scale.phases import PIECES, Measurement, place, server
from benchmarks.scale.report import bars, report, series
from resources.postgres.server import EmbeddedServer

SOURCES = (1, 3)
"""Beside all of them."""
WORKERS = (1, 2)
SHARED = 100_000
"""The most records for which sources and workers are compared: more would take hours and say the same."""


def by_records(running: EmbeddedServer, count: int, workers: Sequence[int]) -> Iterator[Measurement]:
    """Everything once and again with `count` records; then shared by `workers`."""
    with place(running, count) as here:
        yield from here.imports()
        yield from here.deduplication()
        expected = here.clusters()
        yield from here.imports(again=True)
        yield from here.deduplication(again=True)
        for number in workers:
            here.forget()
            yield from here.deduplication(pieces=PIECES, workers=number)
            if here.clusters() != expected:
                raise RuntimeError(f"{number} workers made other events than one run: {here.clusters()}, {expected}")
        for number in workers:
            if number > 1:
                here.forget(imports=True)
                yield from here.imports(workers=number)


def by_sources(running: EmbeddedServer, count: int, sources: int) -> Iterator[Measurement]:
    """`count` records of fewer sources."""
    with place(running, count, sources) as here:
        yield from here.imports()
        yield from here.deduplication()


def main(arguments: Sequence[str] | None = None) -> None:
    options: Options = read_options(__doc__ or "", arguments, sizes=(10_000, 30_000, 100_000), quick=(10_000,))
    shared = max((size for size in options.sizes if size <= SHARED), default=None)
    found: list[Measurement] = []
    with server() as running:
        for size in options.sizes:
            found += by_records(running, size, WORKERS if size == shared else ())
        for sources in SOURCES if shared else ():
            found += by_sources(running, shared or 0, sources)
    options.write(report(found), [asdict(one) for one in found], bars(found), series=series(found))


if __name__ == "__main__":
    main(sys.argv[1:])
