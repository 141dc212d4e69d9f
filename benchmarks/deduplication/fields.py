"""What every method of the benchmark is given: records as they are, and the fields that our parser reads out of them.

The peers get the parsed fields for nothing: reading titles, venues and clocks is not on their bill. Runs as a process:
`python -m benchmarks.deduplication.fields <task>` with corpus, rows, folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.deduplication.generate import Labelled, Spec, generate, split
from benchmarks.deduplication.generate_other import generate_other
from benchmarks.deduplication.generate_third import generate_third


def corpus(name: str, rows: int) -> list[Labelled]:
    """A labelled corpus by name; the seeds are used nowhere else, but for `train`, on which the weights were fitted too."""
    makers = {
        "train": lambda: split("train", rows),
        "tune": lambda: split("development", rows),
        "held back": lambda: split("heldout", rows),
        "words outside the lexicon": lambda: generate(Spec(rows=rows, seed=4_001, outside=True)),
        "second generator": lambda: generate_other(rows, seed=3_001),
        "third generator": lambda: generate_third(rows, seed=3_001),
    }
    return makers[name]()


def fields(rows: Sequence[Labelled]) -> list[dict[str, Any]]:
    """One flat row a record, in the order of the batch; `event` is the truth."""
    import numpy as np

    from ingestion_assets.events.deduplication.blocks import areas
    from ingestion_assets.events.deduplication.prepare import prepare
    from ingestion_assets.events.deduplication.statistics import build_statistics

    events = {row.record.key: row.event for row in rows}
    batch = prepare([row.record for row in rows], build_statistics(row.record for row in rows))
    area = areas(batch)
    said = {name: batch.parsed[name] for name in ("sessions", "parts", "numbers", "addons", "publics", "secondary")}
    result = []
    for i, record in enumerate(batch.records):
        head = batch.head.data[batch.head.start[batch.title[i]] : batch.head.start[batch.title[i] + 1]]
        rarest = [batch.tokens[token] for token in head[np.argsort(-batch.idf[head], kind="stable")].tolist()]
        result.append({
            "unique_id": i,
            "source": record.source,
            "source_id": record.source_id,
            "event": events[record.key],
            "day": int(batch.day[i]),
            "minute": int(batch.minute[i]) if batch.minute[i] >= 0 else None,
            "title": batch.texts[int(batch.title[i])],
            "letters": batch.raws[int(batch.raw[i])],
            "words": rarest,
            "rare": rarest[0],
            "rare_too": rarest[1] if len(rarest) > 1 else None,
            "venue": batch.venues[int(batch.venue[i])].joined or batch.venues[int(batch.venue[i])].key or None,
            "place": int(batch.alias[i]) if batch.alias[i] >= 0 else None,
            "city": int(area[i]) or None,
            "lat": record.lat,
            "lon": record.lon,
            "tribute": int(batch.parsed["tribute"][i]),
            "umbrella": int(batch.parsed["umbrella"][i]),
            **{name: int(column[i]) for name, column in said.items()},
        })  # fmt: skip
    return result


def main(task: dict[str, Any]) -> None:
    rows = corpus(task["corpus"], task["rows"])
    path = Path(task["folder"]) / f"{task['corpus'].replace(' ', '_')}_{task['rows']}.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in fields(rows))
    sys.stdout.write(json.dumps({"path": str(path), "rows": len(rows)}) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
