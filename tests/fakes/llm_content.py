"""Answers made from the schema that was asked for and the ids in the prompt: the same question, the same answer."""

from __future__ import annotations

import json
import random
import re
from hashlib import blake2b
from typing import Any

_IDS = re.compile(r'"event_id"\s*:\s*"((?:[^"\\]|\\.)*)"')


def ids_in(prompt: str) -> list[str]:
    """The ids of the rows in a prompt, in order, each once."""
    return list(dict.fromkeys(json.loads(f'"{found}"') for found in _IDS.findall(prompt)))


def answer_for(schema: dict[str, Any], ids: list[str], prompt: str) -> Any:
    """An instance of `schema`; an array whose elements have an `event_id` gets one element for each id."""
    return _Maker(schema.get("$defs", {}), ids, prompt).make(schema, "")


class _Maker:
    def __init__(self, definitions: dict[str, Any], ids: list[str], prompt: str) -> None:
        self._definitions = definitions
        self._ids = ids
        self._prompt = prompt

    def _pick(self, path: str, choices: int) -> int:
        digest = blake2b(f"{path}\n{self._prompt}".encode(), digest_size=4).digest()
        return int.from_bytes(digest) % max(1, choices)

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].rsplit("/", 1)[1]]
        if "anyOf" in schema:
            schema = self._resolve(schema["anyOf"][0])
        return schema

    def make(self, schema: dict[str, Any], path: str) -> Any:
        schema = self._resolve(schema)
        if "enum" in schema:
            return schema["enum"][self._pick(path, len(schema["enum"]))]
        match str(schema.get("type", "object")).lower():
            case "object" | "6":
                return {name: self.make(part, f"{path}.{name}") for name, part in schema.get("properties", {}).items()}
            case "array" | "5":
                items = self._resolve(schema.get("items", {}))
                if "event_id" in items.get("properties", {}):
                    return [{**self.make(items, f"{path}[{row}]"), "event_id": row} for row in self._ids]
                return [self.make(items, f"{path}[0]")]
            case "integer" | "3":
                return self._pick(path, 100)
            case "number" | "2":
                return self._pick(path, 100) / 100
            case "boolean" | "4":
                return bool(self._pick(path, 2))
            case _:
                if path.endswith("event_id") and self._ids:
                    return self._ids[0]
                return f"text {self._pick(path, 10_000)}"


def spoil_ids(answer: Any, kind: str, generator: random.Random) -> Any:
    """Drop, repeat or alter one id of an answer for several rows."""
    rows = answer.get("answers") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not rows:
        return answer
    place = generator.randrange(len(rows))
    if kind == "drop":
        rows.pop(place)
    elif kind == "repeat":
        rows.insert(place, dict(rows[place - 1]))
        rows.pop(place + 1 if place + 1 < len(rows) else -1)
    elif kind == "alter":
        rows[place]["event_id"] = str(rows[place]["event_id"]) + "x"
    elif kind == "off_taxonomy":
        rows[place]["type"] = "karaoke_de_rue"
    return answer
