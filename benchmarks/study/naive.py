"""What one writes in an afternoon: pypdf, the first sentence of each page, a gap for the longest word, random options.

Runs in the peers' environment: the standard library and pypdf only.
"""

from __future__ import annotations

import json
import random
import re
import resource
import sys
from pathlib import Path
from typing import Any

from benchmarks._measure import measured


def deck(path: Path, cards: int, questions: int) -> dict[str, list[dict[str, Any]]]:
    """Page by page, until there are enough."""
    from pypdf import PdfReader

    draw = random.Random(1)
    made: dict[str, list[dict[str, Any]]] = {"cards": [], "questions": []}
    for number, page in enumerate(PdfReader(path).pages, 1):
        text = " ".join(page.extract_text().split())
        for sentence in re.split(r"(?<=[.!?])\s+", text)[:1]:
            words = re.findall(r"\w+", sentence)
            if len(words) < 5:
                continue
            hidden = max(words, key=len)
            gap = sentence.replace(hidden, "_____", 1)
            if len(made["cards"]) < cards:
                made["cards"].append({"front": gap, "back": hidden, "quote": sentence, "page": number})
            if len(made["questions"]) < questions:
                others = sorted({word for word in re.findall(r"\w{4,}", text) if word != hidden})
                options = [hidden, *draw.sample(others, min(3, len(others)))]
                draw.shuffle(options)
                made["questions"].append(
                    {
                        "stem": gap,
                        "options": options,
                        "key": options.index(hidden),
                        "quote": sentence,
                        "page": number,
                    }
                )
    return made


def main(task: dict[str, Any]) -> None:
    with measured() as cost:
        made = deck(Path(task["pdf"]), task["cards"], task["questions"])
    Path(task["deck"]).write_text(json.dumps(made))
    cost.report(child_mb=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
