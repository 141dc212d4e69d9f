"""Generated Eventbrite-shaped records of about 3 KB, as the lines of a file, with the truth of each pass.

    python -m benchmarks.loading.records '{"count": 10000, "folder": "/tmp/records"}'

Pass 2 has 10 % of the records changed, 2 % new, and every record's volatile fields different, as a real second fetch
has. Both methods read the same file, so reading it is part of both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE_RECORDS = 200


def write(folder: Path, count: int) -> dict[str, Any]:
    """Write `pass1.ndjson` and `pass2.ndjson`; returns their paths and the counts that a load must report."""
    import orjson

    from benchmarks._eventbrite import WideEventbrite

    service = WideEventbrite(count=count)
    paths = {}
    size = 0
    for number in (1, 2):
        service.advance_to_pass(number)
        path = folder / f"pass{number}.ndjson"
        with path.open("wb") as lines:
            for row in service.rows():
                size += lines.write(orjson.dumps(row.fields) + b"\n")
        paths[f"pass{number}"] = str(path)
    second = service.truth(2)
    return {
        **paths,
        "truth": [
            {"created": count, "updated": 0, "skipped": 0},
            {"created": second.created, "updated": second.updated, "skipped": second.skipped},
            {"created": 0, "updated": 0, "skipped": count + second.created},
        ],
        "record_bytes": round(size / (2 * count + second.created)),
    }


def pages(path: str) -> Iterator[list[dict[str, Any]]]:
    """The records of a file, in pages such as a service gives."""
    import orjson

    page: list[dict[str, Any]] = []
    with Path(path).open("rb") as lines:
        for line in lines:
            page.append(orjson.loads(line))
            if len(page) == PAGE_RECORDS:
                yield page
                page = []
    if page:
        yield page


def main() -> None:
    task = json.loads(sys.argv[1])
    print(json.dumps(write(Path(task["folder"]), task["count"])))


if __name__ == "__main__":
    main()
