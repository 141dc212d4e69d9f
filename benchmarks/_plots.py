"""Plots of a report as SVG: bars side by side for comparisons, lines for growth.

Written by hand and not with a plotting library, because a figure here is a few rectangles and labels that have to be
legible on light and dark pages, small in git, and the same bytes for the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks._figures import Comparison, Line, Series, number

WIDTH = 780
_NAMES = 272
"""Where bars begin: names stand left of it."""
_VALUES, _NOTES = 90, 200
"""Kept free right of the longest bar, for its value, and for what its method left out."""
_ROW, _BAR = 21, 14
_MARGIN = 18
_NAME_LENGTH = 42
"""Letters of the smaller size that fit left of the bars."""
_COLOURS = 6
_STYLE = """
svg { --card: #ffffff; --edge: #d0d7de; --text: #1f2328; --soft: #59636e; --grid: #e3e7eb; --peer: #a3adb8;
  --c0: #0b7a75; --c1: #c2571a; --c2: #3f63c9; --c3: #a8327e; --c4: #8a6d00; --c5: #59636e; }
@media (prefers-color-scheme: dark) { svg { --card: #151b23; --edge: #3d444d; --text: #f0f6fc; --soft: #9198a1;
  --grid: #2a313c; --peer: #656c76; --c0: #2dbdb4; --c1: #f0894b; --c2: #7f9bf5; --c3: #e07fbe; --c4: #d5b13a;
  --c5: #9198a1; } }
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--text); }
.title { font-size: 14px; font-weight: 600; } .soft { fill: var(--soft); } .head { font-weight: 600; }
.end { text-anchor: end; } .mid { text-anchor: middle; } .card { fill: var(--card); stroke: var(--edge); }
.grid { stroke: var(--grid); } .axis { stroke: var(--soft); } .peer { fill: var(--peer); } .ours { fill: var(--c0); }
.less { fill: none; stroke: var(--peer); stroke-dasharray: 3 2; } .line { fill: none; stroke-width: 2; }
""" + "".join(f".c{n} {{ stroke: var(--c{n}); }} .f{n} {{ fill: var(--c{n}); }}\n" for n in range(_COLOURS))


def is_ours(method: str) -> bool:
    """Whether a method of a comparison is ours."""
    return method.startswith("ours")


def bars(comparison: Comparison) -> str:
    """Bars from zero, a block for each group, each bar with the name of its method and its value.

    Where there is nobody to compare with, a group is one bar with the group's name.
    """
    groups = comparison["groups"]
    largest = max((value for group in groups for value in group["values"].values()), default=0) or 1
    noted = any(group.get("not_comparable") for group in groups)
    scale = (WIDTH - _NAMES - (_NOTES if noted else _VALUES) - _MARGIN) / largest
    better = "less" if comparison["lower_is_better"] else "more"
    alone = all(len(group["values"]) == 1 for group in groups)
    drawn, y = [], 54 if alone else 66
    for group in groups:
        if not alone:
            drawn.append(_text(_MARGIN, y, group["label"], "head"))
            y += 8
        for method, value in group["values"].items():
            less = group.get("not_comparable", {}).get(method)
            kind = "less" if less else "ours" if is_ours(method) else "peer"
            length = max(1.0, value * scale)
            drawn += [
                _text(_NAMES - 8, y + 12, _cut(group["label"] if alone else method, _NAME_LENGTH), "end"),
                f'<rect class="{kind}" x="{_NAMES}" y="{y + 1}" width="{length:.1f}" height="{_BAR}" rx="2"/>',
                _text(_NAMES + length + 6, y + 12, number(value) + (f" ({less})" if less else ""), "soft"),
            ]
            y += _ROW
        y += 0 if alone else 24
    return _card(
        y + (10 if alone else -14),
        comparison["title"],
        f"{comparison['unit']}, {better} is better".removeprefix(", "),
        drawn,
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """From values to places on the card."""

    lowest: float
    highest: float
    start: float
    end: float
    log: bool

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float, *, log: bool) -> _Axis:
        if log:
            lowest, highest = min(values), max(values)
            # A twentieth of room on both sides, and never a span of nothing.
            room = max(highest / lowest, 1.2) ** 0.05
            return cls(lowest / room, highest * room, start, end, log)
        return cls(0, (max(values) or 1) * 1.05, start, end, log)

    def place(self, value: float) -> float:
        if self.log:
            share = math.log(value / self.lowest) / math.log(self.highest / self.lowest)
        else:
            share = (value - self.lowest) / (self.highest - self.lowest)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> Iterator[float]:
        """Round values that lie on the axis: three to eight or so."""
        if self.log:
            decades = math.log10(self.highest / self.lowest)
            steps = (1,) if decades > 3 else (1, 2, 5) if decades > 0.7 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
            for power in range(math.floor(math.log10(self.lowest)), math.ceil(math.log10(self.highest)) + 1):
                yield from (step * 10.0**power for step in steps if self.lowest <= step * 10.0**power <= self.highest)
            return
        rough = self.highest / 5
        step = next(step for n in (1, 2, 5, 10) if (step := n * 10.0 ** math.floor(math.log10(rough))) >= rough)
        for count in range(int(self.highest / step) + 1):
            yield count * step


def lines(series: Series) -> str:
    """Lines with their points, a legend above them."""
    drawable = [_drawable(line, series) for line in series["lines"]]
    points = [point for line in drawable for point in line["points"]]
    if not points:
        return _card(80, series["title"], "nothing to draw", [])
    legend = list(_legend([line["label"] for line in drawable]))
    top, bottom = 72 + 20 * (1 + max(row for row, _, _ in legend)), 400 + 20 * max(row for row, _, _ in legend)
    x = _Axis.over([point[0] for point in points], 84, WIDTH - 30, log=series["x_log"])
    y = _Axis.over([point[1] for point in points], bottom, top, log=series["y_log"])
    drawn = []
    for value in y.ticks():
        drawn.append(f'<path class="grid" d="M84 {y.place(value):.1f}H{WIDTH - 30}"/>')
        drawn.append(_text(76, y.place(value) + 4, _short(value), "soft end"))
    for value in x.ticks():
        drawn.append(f'<path class="axis" d="M{x.place(value):.1f} {bottom}v5"/>')
        drawn.append(_text(x.place(value), bottom + 20, _short(value), "soft mid"))
    drawn.append(f'<path class="axis" d="M84 {bottom}H{WIDTH - 30}"/>')
    drawn.append(_text((84 + WIDTH - 30) / 2, bottom + 42, series["x_label"], "mid"))
    for index, line in enumerate(drawable):
        colour = index % _COLOURS
        places = [(x.place(point[0]), y.place(point[1])) for point in line["points"]]
        path = "L".join(f"{left:.1f} {down:.1f}" for left, down in places)
        drawn.append(f'<path class="line c{colour}" d="M{path}"/>')
        drawn += [f'<circle class="f{colour}" cx="{left:.1f}" cy="{down:.1f}" r="3.5"/>' for left, down in places]
    for index, (row, left, label) in enumerate(legend):
        down = 64 + 20 * row
        drawn.append(f'<circle class="f{index % _COLOURS}" cx="{left}" cy="{down}" r="5"/>')
        drawn.append(_text(left + 10, down + 4, label))
    scales = [f"{name} on a logarithmic scale" for name, log in (("x", series["x_log"]), ("y", series["y_log"])) if log]
    return _card(bottom + 58, series["title"], "; ".join([series["y_label"], *scales]), drawn)


def _drawable(line: Line, series: Series) -> Line:
    """Without the points that have no place on a logarithmic axis."""
    kept = [
        point
        for point in line["points"]
        if (point[0] > 0 or not series["x_log"]) and (point[1] > 0 or not series["y_log"])
    ]
    return {"label": line["label"], "points": kept}


def _legend(labels: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """(row, x, label), as many in a row as fit."""
    row, left = 0, _MARGIN + 5
    for label in labels:
        width = 34 + 7 * len(label)
        if left + width > WIDTH and left > _MARGIN + 5:
            row, left = row + 1, _MARGIN + 5
        yield row, left, label
        left += width


def _card(height: float, title: str, subtitle: str, drawn: Sequence[str]) -> str:
    height = round(height)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        f' role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">'
    )
    card = f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>'
    parts = [head, f"<style>{_STYLE}</style>", card, _text(_MARGIN, 26, title, "title")]
    return "\n".join([*parts, _text(_MARGIN, 43, subtitle, "soft"), *drawn, "</svg>", ""])


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    given = f' class="{kind}"' if kind else ""
    return f'<text{given} x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


def _short(value: float) -> str:
    """A tick: 100k, 1M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def figures_of(comparisons: Sequence[Comparison], series: Sequence[Series]) -> list[tuple[str, Callable[[], str]]]:
    """(title, what draws it) of every plot, in the order of the report."""
    return [
        *((one["title"], lambda one=one: lines(one)) for one in series),
        *((one["title"], lambda one=one: bars(one)) for one in comparisons),
    ]
