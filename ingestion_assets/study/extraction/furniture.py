"""Running heads, footers and page numbers: lines that stand on most pages and belong to none.

Left in, they cut sentences in two and turn up in cards. What is removed is not in the canonical text, so no offset and no
quote can refer to it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

DEPTH: Final = 3
"""Lines from the top and the bottom of a page that may be furniture."""
LEAST_PAGES: Final = 3
SHARE: Final = 0.4
"""Of the pages that have to carry a line. Heads of left and right pages differ."""
LONGEST: Final = 120
"""Characters; a longer line is text, however often it stands there."""
_NUMBERS: Final = re.compile(r"\d+|\b[ivxlcdm]+\b", re.IGNORECASE)
_NUMBER_ALONE: Final = re.compile(
    r"(?i)^(?:page|p\.|seite|-|–|—)?\s*\d{1,4}\s*(?:(?:/|of|sur|de)\s*\d{1,4})?\s*(?:-|–|—)?$"
)


def without_furniture(pages: Sequence[str]) -> list[str]:
    """The pages without what repeats at their edges. Nothing is taken from fewer than three pages."""
    if len(pages) < LEAST_PAGES:
        return list(pages)
    edges = [_edges(page.splitlines()) for page in pages]
    counts = Counter(form for page in edges for form in set(page.values()))
    needed = max(LEAST_PAGES, SHARE * sum(1 for page in pages if page.strip()))
    return [
        "\n".join(line for at, line in enumerate(page.splitlines()) if counts[marked.get(at, "")] < needed)
        for page, marked in zip(pages, edges, strict=True)
    ]


def _edges(lines: Sequence[str]) -> dict[int, str]:
    """Form of each line that may be furniture, by its place."""
    filled = [at for at, line in enumerate(lines) if line.strip()]
    found = {}
    for at in {*filled[:DEPTH], *filled[-DEPTH:]}:
        line = lines[at].strip()
        if len(line) <= LONGEST:
            # Numbers differ from page to page; a line of a number alone is a page number wherever it stands.
            found[at] = "#" if _NUMBER_ALONE.match(line) else _NUMBERS.sub("#", line.lower())
    return found
