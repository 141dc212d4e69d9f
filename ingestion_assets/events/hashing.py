"""Whether a record says the same as last time: a hash of its payload, less what changes without meaning anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

import orjson


class Canonicaliser:
    """Canonical bytes of a payload (sorted keys, volatile paths left out) and their hash.

    A path is dotted, `*` stands for every element of a list: `images.*.url`. Paths that a payload lacks are ignored.
    """

    def __init__(self, volatile_paths: Sequence[str]) -> None:
        self._volatile: _Tree = {}
        for path in volatile_paths:
            *way, last = path.split(".")
            tree: _Tree | None = self._volatile
            for key in way:
                # A path below one that is left out as a whole adds nothing.
                tree = None if tree is None else tree.setdefault(key, {})
            if tree is not None and last != "*":  # elements of a list are not left out, only what is in them
                tree[last] = None

    def __call__(self, payload: Mapping[str, Any]) -> bytes:
        """Raises TypeError or ValueError for what JSON cannot hold, RecursionError for what is nested too deeply."""
        value: Any = dict(payload) if not isinstance(payload, dict) else payload
        value = _without(value, self._volatile)
        try:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError as error:
            if "Recursion" in str(error):
                raise RecursionError(str(error)) from None
            raise

    @staticmethod
    def digest(canonical: bytes) -> bytes:
        """BLAKE2b-128: 16 bytes, no collision to be expected below 2^60 records, faster than MD5."""
        return blake2b(canonical, digest_size=16).digest()


_Tree: TypeAlias = "dict[str, _Tree | None]"
"""The paths to leave out, by their first key; None ends a path."""


def _without(value: Any, volatile: _Tree) -> Any:
    """`value` without what lies at the paths; only objects that lose something are copied, and each once."""
    if isinstance(value, dict):
        copy: dict[str, Any] | None = None
        for key, below in volatile.items():
            if key not in value or key == "*":
                continue
            if below is None:
                if copy is None:
                    copy = value.copy()
                del copy[key]
                continue
            inner = value[key]
            if inner is None or (kept := _without(inner, below)) is inner:
                continue
            if copy is None:
                copy = value.copy()
            copy[key] = kept
        return value if copy is None else copy
    every = volatile.get("*")
    if isinstance(value, list) and every is not None:
        return [_without(item, every) for item in value]
    return value
