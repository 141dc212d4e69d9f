"""Word lists, read once from `lexicon.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files


@cache
def _lists() -> dict[str, dict[str, str]]:
    return tomllib.loads(files(__package__).joinpath("lexicon.toml").read_text("utf-8"))


def lexicon(name: str, part: str = "words") -> frozenset[str]:
    """The words of one list."""
    return frozenset(_lists()[name][part].split())
