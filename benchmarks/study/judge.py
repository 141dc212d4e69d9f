"""How good a deck is, by measures that know the book: where its text stands, and of which kind each of its words is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.study.book import Fact
from ingestion_assets.study.checks.shared import CLOZE, leaks, self_contained
from ingestion_assets.study.text import folded

DECILES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Shares of the items, from 0 to 1, unless said otherwise."""

    cards: int
    questions: int
    grounded: float
    """Their quote stands on the page they name."""
    supported: float
    """Their answer stands in their quote."""
    leaking: float
    """Their front gives the answer away."""
    leaning: float
    """They begin with a heading or a word like `it`, or point at something outside themselves."""
    repeated: float
    """Asked and answered like an earlier one."""
    worth_knowing: float
    """Cards whose answer is a fact of the book: a term, its meaning, a person, a year, a weight."""
    one_kind: float
    """Questions whose options are all of one kind of fact."""
    deciles: int
    """Tenths of the pages, of ten, with at least one item."""


_LEANING = re.compile(r"^(?:it|this|these|those|they|he|she|and|but|chapter \d+)\b", re.IGNORECASE)


def judge(deck: Mapping[str, Sequence[Mapping[str, Any]]], facts: Sequence[Fact], pages: Sequence[str]) -> Judged:
    """Judge a deck. `pages` are the book's pages as its PDF shows them."""
    shown = [folded(page) for page in pages]
    kinds = _kinds(facts)
    cards = [(card["front"], card["back"], card) for card in deck["cards"]]
    questions = [(question["stem"], question["options"][question["key"]], question) for question in deck["questions"]]
    items = [*cards, *questions]
    fronts = [CLOZE.sub("_____", front) for front, *_ in items]
    seen: set[tuple[str, str]] = set()
    repeated = 0
    for front, answer in zip(fronts, (answer for _, answer, _ in items), strict=True):
        repeated += (form := (folded(front), folded(answer))) in seen
        seen.add(form)
    return Judged(
        cards=len(cards),
        questions=len(questions),
        grounded=_share(folded(item["quote"]) in shown[item["page"] - 1] for *_, item in items),
        supported=_share(folded(answer) in folded(item["quote"]) for _, answer, item in items),
        leaking=_share(leaks(answer, front, "en") for front, (_, answer, _) in zip(fronts, items, strict=True)),
        leaning=_share(bool(_LEANING.match(front)) or self_contained(front) is not None for front in fronts),
        repeated=repeated / len(items) if items else 0.0,
        worth_knowing=_share(folded(answer) in kinds for _, answer, _ in cards),
        one_kind=_share(
            len({kinds.get(folded(option), option) for option in item["options"]}) == 1 for *_, item in questions
        ),
        deciles=len({(item["page"] - 1) * DECILES // len(pages) for *_, item in items}),
    )


def _kinds(facts: Sequence[Fact]) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for fact in facts:
        kinds |= {folded(form): "term" for form in (fact.term, f"a {fact.term}")}
        kinds |= {
            folded(fact.meaning): "meaning",
            folded(fact.person): "person",
            folded(f"The inventor {fact.person}"): "person",
        }
        kinds |= {str(fact.year): "year", str(fact.weight): "weight"}
    return kinds


def _share(found: Any) -> float:
    values = list(found)
    return round(sum(values) / len(values), 4) if values else 0.0
