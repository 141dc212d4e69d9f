"""Splink 5 on DuckDB, in the peers' environment: the parsed fields, labels for its m probabilities, a tuned threshold."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks._measure import measured
from benchmarks.deduplication.metrics_pairs import best_threshold

THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99999)


def _levels(column: str, conditions: list[tuple[str, str]]) -> dict[str, Any]:
    missing = {"sql_condition": f"{column}_l IS NULL OR {column}_r IS NULL", "label_for_charts": "missing"}
    return {
        "output_column_name": column,
        "comparison_levels": [
            {**missing, "is_null_level": True},
            *({"sql_condition": sql, "label_for_charts": label} for sql, label in conditions),
            {"sql_condition": "ELSE", "label_for_charts": "else"},
        ],
    }


def settings() -> dict[str, Any]:
    """The comparisons. Words, places and clocks get steps like ours; rare titles count for more."""
    import splink.comparison_library as cl
    from splink import SettingsCreator, block_on

    apart = "abs(minute_l - minute_r)"
    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="unique_id",
        comparisons=[
            cl.JaroWinklerAtThresholds("title", [0.95, 0.88, 0.75]).configure(term_frequency_adjustments=True),
            cl.ArrayIntersectAtSizes("words", [4, 3, 2, 1]),
            cl.JaroWinklerAtThresholds("letters", [0.97, 0.9, 0.8]),
            cl.JaroWinklerAtThresholds("venue", [0.95, 0.85]),
            cl.DistanceInKMAtThresholds("lat", "lon", [0.1, 0.3, 1, 5]),
            _levels(
                "minute",
                [
                    *((f"{apart} <= {limit}", str(limit)) for limit in (0, 15, 35, 65)),
                    (f"{apart} IN (240, 300, 360, 420, 480)", "shifted"),
                    (f"{apart} <= 200", "200"),
                ],
            ),
            cl.ExactMatch("city"),
            cl.ExactMatch("source"),
            *(cl.ExactMatch(name) for name in ("sessions", "parts", "numbers", "addons", "publics", "secondary")),
            cl.ExactMatch("tribute"),
            cl.ExactMatch("umbrella"),
        ],
        blocking_rules_to_generate_predictions=[
            block_on("day", "place"),
            block_on("day", "city", "rare"),
            block_on("day", "city", "rare_too"),
            block_on("day", "title"),
            block_on("day", "city", "minute"),
        ],
    ).create_settings_dict("duckdb")


def linker(rows: list[dict[str, Any]], model: Any) -> Any:
    import logging

    import pandas as pd
    from splink import DuckDBAPI, Linker

    logging.getLogger("splink").setLevel(logging.ERROR)
    frame = pd.DataFrame(rows)
    for name in ("minute", "place", "city"):
        frame[name] = frame[name].astype("Int64")
    return Linker(DuckDBAPI().register(frame), model)


def train(task: dict[str, Any]) -> None:
    """Fit on the labelled corpus, choose the threshold on another, write both."""
    made = linker(_read(task["train"]), settings())
    made.training.estimate_u_using_random_sampling(max_pairs=2e6, seed=1)
    made.training.estimate_m_from_label_column("event")
    made.training.estimate_probability_two_random_records_match(["l.event = r.event"], recall=1.0)
    model = made.misc.save_model_to_json()
    rows = _read(task["tune"])
    tuned = linker(rows, model)
    scored = tuned.inference.predict(threshold_match_probability=THRESHOLDS[0])
    found = []
    for threshold in THRESHOLDS:
        clusters = tuned.clustering.cluster_pairwise_predictions_at_threshold(
            scored, threshold_match_probability=threshold
        ).as_pandas_dataframe()
        found.append((threshold, dict(zip(clusters["unique_id"], clusters["cluster_id"], strict=True))))
    threshold = best_threshold({row["unique_id"]: row["event"] for row in rows}, found)
    Path(task["model"]).write_text(json.dumps({"model": model, "threshold": threshold}))
    sys.stdout.write(json.dumps({"threshold": threshold}) + "\n")


def link(task: dict[str, Any]) -> None:
    import pandas as pd  # noqa: F401
    import splink  # noqa: F401

    given = json.loads(Path(task["model"]).read_text())
    rows = _read(task["path"])
    with measured() as cost:
        made = linker(rows, given["model"])
        scored = made.inference.predict(threshold_match_probability=given["threshold"])
        clusters = made.clustering.cluster_pairwise_predictions_at_threshold(
            scored, threshold_match_probability=given["threshold"]
        ).as_pandas_dataframe()
        label = dict(zip(clusters["unique_id"].tolist(), clusters["cluster_id"].tolist(), strict=True))
    cost.report(labels=[[row["source"], row["source_id"], int(label[row["unique_id"]])] for row in rows])


def _read(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    task_ = json.loads(sys.argv[1])
    (train if "train" in task_ else link)(task_)
