"""recordlinkage, in the peers' environment: the parsed fields, a logistic regression, labels, a tuned threshold."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks._measure import measured
from benchmarks.deduplication.metrics_pairs import best_threshold, connected

THRESHOLDS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_SAID = ("sessions", "parts", "numbers", "addons", "publics", "secondary", "tribute", "umbrella", "city", "source")


def compared(rows: list[dict[str, Any]]) -> Any:
    """Candidate pairs and their similarities."""
    import pandas as pd
    import recordlinkage as rl

    frame = pd.DataFrame(rows).set_index("unique_id")
    frame["words"] = frame["words"].map(lambda words: " ".join(sorted(words)))
    indexer = rl.Index()
    for columns in (["day", "place"], ["day", "city", "rare"], ["day", "city", "rare_too"], ["day", "title"]):
        indexer.block(columns)
    pairs = indexer.index(frame)
    compare = rl.Compare()
    compare.string("title", "title", method="jarowinkler", label="title")
    compare.string("words", "words", method="qgram", label="words")
    compare.string("letters", "letters", method="jarowinkler", label="letters")
    compare.string("venue", "venue", method="jarowinkler", label="venue", missing_value=0.5)
    compare.numeric("minute", "minute", method="exp", offset=0, scale=30, label="minute", missing_value=0.5)
    compare.geo("lat", "lon", "lat", "lon", method="exp", offset=0.1, scale=0.5, label="map", missing_value=0.5)
    for name in _SAID:
        compare.exact(name, name, label=name)
    return compare.compute(pairs, frame)


def clusters(rows: list[dict[str, Any]], features: Any, scores: Any, threshold: float) -> dict[int, int]:
    chosen = features.index[scores >= threshold]
    return connected([row["unique_id"] for row in rows], [(int(a), int(b)) for a, b in chosen])


def train(task: dict[str, Any]) -> None:
    import recordlinkage as rl

    rows = _read(task["train"])
    features = compared(rows)
    event = {row["unique_id"]: row["event"] for row in rows}
    same = features.index[[event[a] == event[b] for a, b in features.index]]
    model = rl.LogisticRegressionClassifier()
    model.fit(features, same)
    rows = _read(task["tune"])
    features = compared(rows)
    scores = model.prob(features).to_numpy()
    found = [(threshold, clusters(rows, features, scores, threshold)) for threshold in THRESHOLDS]
    threshold = best_threshold({row["unique_id"]: row["event"] for row in rows}, found)
    kernel = {"coefficients": list(map(float, model.coefficients)), "intercept": float(model.intercept)}
    Path(task["model"]).write_text(json.dumps({**kernel, "threshold": threshold}))
    sys.stdout.write(json.dumps({"threshold": threshold}) + "\n")


def link(task: dict[str, Any]) -> None:
    import numpy as np
    import recordlinkage as rl

    given = json.loads(Path(task["model"]).read_text())
    rows = _read(task["path"])
    with measured() as cost:
        model = rl.LogisticRegressionClassifier(given["coefficients"], given["intercept"])
        features = compared(rows)
        odds = features.to_numpy() @ np.asarray(model.coefficients) + model.intercept
        label = clusters(rows, features, 1 / (1 + np.exp(-odds)), given["threshold"])
    cost.report(labels=[[row["source"], row["source_id"], label[row["unique_id"]]] for row in rows])


def _read(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    task_ = json.loads(sys.argv[1])
    (train if "train" in task_ else link)(task_)
