"""A long book whose facts are known: invented instruments, valleys and people, so that no answer can come from elsewhere.

Development only; needs reportlab.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

_HEADS = [
    "bal",
    "cor",
    "dan",
    "fel",
    "gir",
    "hol",
    "jun",
    "kar",
    "lim",
    "mor",
    "nap",
    "pel",
    "quor",
    "ras",
    "sul",
    "tam",
    "vel",
    "wim",
    "zor",
    "bren",
    "clod",
    "drav",
]
_TAILS = ["abar", "adon", "egrin", "elith", "imor", "inex", "obal", "odun", "ulen", "umar", "orvis", "anter"]
_VERBS = ["measures", "records", "filters", "cools", "sorts", "lifts", "guides", "weighs", "heats", "marks"]
_THINGS = [
    "the salt in well water",
    "the dust of old archives",
    "the pressure under river ice",
    "the sugar in maple sap",
    "the length of winter shadows",
    "the colour of lake mud",
    "the pulse of distant bells",
    "the grain of sawn timber",
    "the drift of harbour buoys",
    "the age of garden walls",
]
_USES = [
    "farmers",
    "ship builders",
    "bridge keepers",
    "bakers",
    "glass makers",
    "map makers",
    "bell founders",
    "gardeners",
]
_MATTER = ["brass", "cedar", "glass", "slate", "linen", "copper", "clay", "amber"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A term of the book, what it is, and where."""

    term: str
    meaning: str
    year: int
    weight: int
    person: str
    page: int


def facts(pages: int, a_page: int = 3, seed: int = 5) -> list[Fact]:
    """Distinct facts, `a_page` for every page from 1."""
    draw = random.Random(seed)
    terms = [f"{head}{middle}{tail}" for head in _HEADS for middle in ("", *(h[:2] for h in _HEADS)) for tail in _TAILS]
    draw.shuffle(terms)
    made = []
    for number in range(pages * a_page):
        term = terms[number % len(terms)] + ("" if number < len(terms) else f"-{number // len(terms)}")
        matter, verb, thing, use = (draw.choice(words) for words in (_MATTER, _VERBS, _THINGS, _USES))
        meaning = f"a device of {matter} that {verb} {thing} for {use}"
        person = f"{draw.choice(_HEADS).title()}a {draw.choice(_TAILS).title()}{draw.choice(_HEADS)}"
        made.append(Fact(term, meaning, draw.randint(1700, 1999), draw.randint(12, 980), person, number // a_page + 1))
    return made


def paragraphs(fact: Fact) -> list[str]:
    """What the book says about one fact."""
    return [
        (
            f"A {fact.term} is {fact.meaning}. Workshops in the valley kept the first {fact.term} until the market of "
            f"{fact.year} closed."
        ),
        (
            f"The inventor {fact.person} sold a model that weighed {fact.weight} grams. It was shown to visitors on days "
            "without rain, and many of them came back with questions about its use."
        ),
        (
            "People who visited the workshops wrote letters home, and some of these letters speak about the light in the "
            "halls, the smell of oil and the patience of the apprentices who cleaned every part by hand."
        ),
    ]


def write_pdf(path: Path, pages: int, *, a_page: int = 3, seed: int = 5) -> list[Fact]:
    """Write the book; returns its facts."""
    from reportlab.lib.utils import simpleSplit
    from reportlab.pdfgen.canvas import Canvas

    known = facts(pages, a_page, seed)
    canvas = Canvas(str(path), invariant=1)
    for page in range(1, pages + 1):
        line = 800
        canvas.setFont("Helvetica-Bold", 14)
        canvas.drawString(60, line, f"Chapter {page}")
        canvas.setFont("Helvetica", 11)
        for fact in known[(page - 1) * a_page : page * a_page]:
            for paragraph in paragraphs(fact):
                for text in simpleSplit(paragraph, "Helvetica", 11, 480):
                    line -= 15
                    canvas.drawString(60, line, text)
                line -= 8
        canvas.drawString(300, 40, str(page))
        canvas.showPage()
    canvas.save()
    return known
