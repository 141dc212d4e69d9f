"""Study: a book with known facts as a PDF, to a deck without a network; ours against an afternoon's script with pypdf.

    python -m benchmarks.study.run [--quick] [--size PAGES] [--without-peers] [--json FILE]

Each method runs in a process of its own. Both are asked for the same numbers; both decks are judged by the same measures,
which know the book.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._figures import Comparison, Group
from benchmarks._measure import Bar, bars_table, markdown_table
from benchmarks._options import note, read_options
from benchmarks._processes import peer_python, run_child
from benchmarks.study.book import Fact, paragraphs, write_pdf
from benchmarks.study.judge import Judged, judge

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
OURS = "ours"
NAIVE = "pypdf, first sentences"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One deck of one book."""

    method: str
    pages: int
    cpu: float
    wall: float
    start_up_cpu: float
    rss_mb: float
    """At the peak, the largest of its processes."""
    judged: Judged


def measure(pages: int, *, without_peers: bool) -> list[Measurement]:
    """Write the book, make and judge the decks."""
    with tempfile.TemporaryDirectory(prefix="bench-study-") as name:
        folder = Path(name)
        known = write_pdf(folder / "book.pdf", pages)
        shown = [_shown(known, page) for page in range(1, pages + 1)]
        found = [_one(OURS, folder, known, shown, module="benchmarks.study.ours")]
        if not without_peers:
            python = peer_python(REQUIREMENTS)
            found.append(_one(NAIVE, folder, known, shown, module="benchmarks.study.naive", python=python))
        return found


def _shown(facts: Sequence[Fact], page: int) -> str:
    """A page as one reads it, with its heading and its number."""
    body = [part for fact in facts if fact.page == page for part in paragraphs(fact)]
    return "\n".join((f"Chapter {page}", *body, str(page)))


def _one(
    method: str, folder: Path, known: Sequence[Fact], shown: Sequence[str], *, module: str, python: str | None = None
) -> Measurement:
    pages = len(shown)
    note(f"study: {method}, {pages} pages")
    task = {
        "pdf": str(folder / "book.pdf"),
        "deck": str(folder / "deck.json"),
        "cards": pages,
        "questions": pages * 2 // 5,
    }
    cost = run_child(module, task, **({"python": python} if python else {}))
    deck = json.loads((folder / "deck.json").read_text())
    return Measurement(
        method=method,
        pages=pages,
        cpu=cost["cpu"],
        wall=cost["wall"],
        start_up_cpu=cost["start_up_cpu"],
        rss_mb=max(cost["rss_mb"], cost["child_mb"]),
        judged=judge(deck, known, shown),
    )


def bars(found: Sequence[Measurement]) -> list[Bar]:
    """What must hold of ours: the limits that the domain promises."""
    result = []
    for one in found:
        if one.method != OURS:
            continue
        judged, size = one.judged, f"{one.pages} pages"
        result += [
            Bar(
                f"pages a CPU second, {size}",
                one.pages / (one.cpu + one.start_up_cpu),
                500 / 120,
                at_least=True,
                unit="",
            ),
            Bar(f"peak memory, {size}", one.rss_mb, 512, unit="MiB"),
            Bar(f"items whose quote stands on their page, {size}", judged.grounded, 1, at_least=True, unit=""),
            Bar(f"items that leak their answer, {size}", judged.leaking, 0, unit=""),
            Bar(f"repeated items, {size}", judged.repeated, 0, unit=""),
            Bar(f"questions with options of one kind, {size}", judged.one_kind, 0.9, at_least=True, unit=""),
            Bar(f"tenths of the book with items, {size}", judged.deciles, 10, at_least=True, unit=""),
        ]
    return result


def comparisons(found: Sequence[Measurement]) -> list[Comparison]:
    """Speed, and what a reader of the deck notices."""
    sizes = sorted({one.pages for one in found})
    groups = {size: [one for one in found if one.pages == size] for size in sizes}

    def shares(*names: str) -> list[Group]:
        return [
            {
                "label": f"{name.replace('_', ' ')}, {size} pages",
                "values": {one.method: getattr(one.judged, name) * 100 for one in here},
            }
            for name in names
            for size, here in groups.items()
        ]

    speed: list[Group] = [
        {"label": f"{size} pages", "values": {one.method: one.pages / (one.cpu + one.start_up_cpu) for one in here}}
        for size, here in groups.items()
    ]
    return [
        {"title": "Pages a CPU second", "unit": "", "lower_is_better": False, "groups": speed},
        {
            "title": "Items that ask something",
            "unit": "%",
            "lower_is_better": False,
            "score": True,
            "groups": shares("worth_knowing", "one_kind"),
        },
        {
            "title": "Items with a flaw",
            "unit": "%",
            "lower_is_better": True,
            "score": True,
            "groups": shares("leaning", "repeated"),
        },
    ]


NOTE = (
    "CPU seconds of the process and its children, imports included. `worth knowing` are cards whose answer is a fact of the "
    "book; `one kind` are questions whose options are all terms, all persons, all years …; `leaning` items begin with a "
    "heading or a word like `it`, or point at the page. The script takes the first sentence of each page and hides its "
    "longest word; it reads no better than the page does, and checks nothing."
)


def report(found: Sequence[Measurement]) -> str:
    """As Markdown."""
    parts = ["## Study: a PDF to cards and questions", NOTE, bars_table(bars(found))]
    for pages in sorted({one.pages for one in found}):
        rows = [
            {
                "method": one.method,
                "CPU s": f"{one.cpu + one.start_up_cpu:.1f}",
                "wall s": f"{one.wall:.1f}",
                "pages/CPU s": f"{one.pages / (one.cpu + one.start_up_cpu):.0f}",
                "peak MiB": f"{one.rss_mb:.0f}",
                "cards": one.judged.cards,
                "questions": one.judged.questions,
                **{
                    name.replace("_", " "): f"{getattr(one.judged, name):.0%}"
                    for name in ("grounded", "supported", "leaking", "leaning", "repeated", "worth_knowing", "one_kind")
                },
                "tenths": one.judged.deciles,
            }
            for one in found
            if one.pages == pages
        ]
        parts += [f"### {pages} pages", markdown_table(list(rows[0]), rows)]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_options(__doc__ or "", arguments, sizes=(100, 500), quick=(60,))
    found = [one for pages in options.sizes for one in measure(pages, without_peers=options.without_peers)]
    options.write(report(found), [asdict(one) for one in found], bars(found), comparisons=comparisons(found))


if __name__ == "__main__":
    main()
