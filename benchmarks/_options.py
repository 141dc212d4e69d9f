"""What the command line of a benchmark says: the same for all of ours, and what `python -m benchmarks` relies on."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._figures import Comparison, Series
from benchmarks._measure import Bar, machine

WARM_UP = 100
"""Records of a run before the first measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How large, with whom, and where to."""

    sizes: tuple[int, ...]
    without_peers: bool
    json: Path | None

    def write(
        self,
        report: str,
        measurements: Sequence[dict[str, Any]],
        bars: Sequence[Bar],
        *,
        comparisons: Sequence[Comparison] = (),
        series: Sequence[Series] = (),
    ) -> None:
        """Print the report; write the figures where they were asked for."""
        print(report, flush=True)
        if self.json is not None:
            result = {
                "machine": machine(),
                "bars": [bar.figures() for bar in bars],
                "measurements": list(measurements),
                "comparisons": list(comparisons),
                "series": list(series),
            }
            self.json.write_text(json.dumps(result, indent=1, ensure_ascii=False))


def read_options(
    description: str, arguments: Sequence[str] | None, *, sizes: tuple[int, ...], quick: tuple[int, ...]
) -> Options:
    """Read the command line; `sizes` are the numbers of records, `quick` those of a first look."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{quick[-1]} records only")
    parser.add_argument("--size", type=int, action="append", help="number of records; may be repeated")
    parser.add_argument("--without-peers", action="store_true", help="measure ours only; nothing is installed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    given = parser.parse_args(arguments)
    return Options(
        sizes=tuple(sorted(given.size or ())) or (quick if given.quick else sizes),
        without_peers=given.without_peers,
        json=given.json,
    )


def note(text: str) -> None:
    """A line of progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
