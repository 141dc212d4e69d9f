"""Whether a record says the same as last time: a hash of its payload, less what changes without meaning anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import orjson
import xxhash
from pydantic import BaseModel

from ingestion_assets.settings import AssetSettings


def reading_seed(settings: BaseModel, names: Sequence[str], *, zone: str) -> int:
    """The seed of the hashes of a source that reads by the settings `names`, on a platform whose zone is `zone`.

    0 where all are the defaults: what was hashed before there was a seed stays as it is.
    """
    fields = type(settings).model_fields
    said = {name: value for name in names if (value := getattr(settings, name)) != fields[name].default}
    if zone != AssetSettings.model_fields["timezone"].default:
        said["zone"] = zone  # what names no zone of its own is read in the platform's
    return xxhash.xxh3_64_intdigest(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)) if said else 0


class Canonicaliser:
    """Canonical bytes of a payload (sorted keys, volatile paths left out) and their hash.

    A path is dotted, `*` stands for every element of a list: `images.*.url`. Paths that a payload lacks are ignored.
    Payloads that are read differently have a different `seed`, see `reading_seed`.
    """

    def __init__(self, volatile_paths: Sequence[str], *, seed: int = 0) -> None:
        self._seed = seed
        tree: _Tree = {}
        for path in volatile_paths:
            *way, last = path.split(".")
            branch: _Tree | None = tree
            for key in way:
                # A path below one that is left out as a whole adds nothing.
                branch = None if branch is None else branch.setdefault(key, {})
            if branch is not None and last != "*":  # elements of a list are not left out, only what is in them
                branch[last] = None
        self._volatile = _volatile(tree)

    def __call__(self, payload: Mapping[str, Any]) -> bytes:
        """Raises TypeError or ValueError for what JSON cannot hold, RecursionError for what is nested too deeply."""
        value: Any = payload if type(payload) is dict else dict(payload)
        value = _without(value, self._volatile)
        try:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError as error:
            if "Recursion" in str(error):
                raise RecursionError(str(error)) from None
            raise

    def digest(self, canonical: bytes) -> bytes:
        """XXH3-128: 16 bytes. A record is compared with its own last state alone, so a collision that somebody makes
        on purpose hides a change of their own event from them, and no other; by chance none is to be expected.
        """
        return xxhash.xxh3_128_digest(canonical, self._seed)


_Tree: TypeAlias = "dict[str, _Tree | None]"
"""The paths to leave out, by their first key; None ends a path."""


class _Volatile(NamedTuple):
    """What to leave out of an object, or of each element of a list."""

    leaves: tuple[str, ...]
    inner: tuple[tuple[str, _Volatile], ...]
    elements: _Volatile | None


def _volatile(tree: _Tree) -> _Volatile:
    leaves = tuple(key for key, below in tree.items() if below is None)
    inner = tuple((key, _volatile(below)) for key, below in tree.items() if below is not None and key != "*")
    every = tree.get("*")
    return _Volatile(leaves, inner, None if every is None else _volatile(every))


def _without(value: Any, volatile: _Volatile) -> Any:
    """`value` without what lies at the paths. Its objects on the way there are copied, each once: to find out first
    whether they lose anything costs more.
    """
    leaves, inner, elements = volatile
    if type(value) is dict:
        value = value.copy()
        for key in leaves:
            value.pop(key, None)
        for key, below in inner:
            if child := value.get(key):
                value[key] = _without(child, below)
    elif elements is not None and isinstance(value, list):
        return [_without(item, elements) for item in value]
    return value
