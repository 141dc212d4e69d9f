"""What a benchmark says, for tables, plots and the summary of the report: numbers, comparisons and growth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict


class Group(TypedDict):
    """What each method measured of one thing. A name that begins with `ours` is ours, any other is a peer's."""

    label: str
    values: Mapping[str, float]
    not_comparable: NotRequired[Mapping[str, str]]
    """Methods that did less than the others, and what they left out: drawn, but never ahead."""


class Comparison(TypedDict):
    """One measure of ours beside the peers; each is drawn as a plot of bars."""

    title: str
    unit: str
    lower_is_better: bool
    groups: Sequence[Group]
    score: NotRequired[bool]
    """A share or a mark, of which a quotient means nothing: the summary says the values instead."""


class Line(TypedDict):
    """One line of a plot."""

    label: str
    points: Sequence[Sequence[float]]
    """(x, y), by growing x."""


class Series(TypedDict):
    """How something grows; each is drawn as a plot of lines."""

    title: str
    x_label: str
    y_label: str
    x_log: bool
    y_log: bool
    lines: Sequence[Line]


def number(value: float) -> str:
    """A value as people read it: three significant digits, thousands apart."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def with_unit(value: float, unit: str) -> str:
    """A value and its unit."""
    return f"{number(value)} {unit}".strip()
