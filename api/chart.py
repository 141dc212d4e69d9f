"""Counts by day as an inline SVG. No script draws it, and a table says the same to who cannot see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

SERIES = ("created", "updated", "skipped", "errors")
_WIDTH, _HEIGHT, _BOTTOM, _LEFT = 640, 180, 22, 44


def chart(days: Sequence[Mapping[str, Any]]) -> Markup:
    """Stacked bars, one a day. Every value is a number or a date of ours, so nothing is escaped but by `Markup`."""
    top = max((sum(int(day[name]) for name in SERIES) for day in days), default=0)
    top += top % 2  # the line in the middle stands for a whole number, as its label says
    step = (_WIDTH - _LEFT) / max(1, len(days))
    room = _HEIGHT - _BOTTOM - 10
    parts: list[Markup] = []
    for share in (0, 0.5, 1):
        y = _HEIGHT - _BOTTOM - room * share
        parts.append(Markup('<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" class="grid"/>').format(_LEFT, _WIDTH, y, y))
        parts.append(
            Markup('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(_LEFT - 6, y + 4, short(top * share))
        )
    for number, day in enumerate(days):
        x = _LEFT + number * step + step * 0.15
        y = float(_HEIGHT - _BOTTOM)
        for name in SERIES:
            height = room * int(day[name]) / top if top else 0
            if not height:
                continue
            y -= height
            parts.append(
                Markup(
                    '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"><title>{}: {} {}</title></rect>'
                ).format(x, y, step * 0.7, height, name, day["day"], day[name], name)
            )
        parts.append(
            Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                x + step * 0.35, _HEIGHT - 6, f"{day['day']:%d}"
            )
        )
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-labelledby="chart-title">{}</svg>').format(
        _WIDTH, _HEIGHT, Markup("").join(parts)
    )


def short(value: float) -> str:
    """1234 as 1.2k."""
    for size, unit in ((1_000_000, "M"), (1000, "k")):
        if value >= size:
            return f"{value / size:.1f}".removesuffix(".0") + unit
    return f"{value:.0f}"
