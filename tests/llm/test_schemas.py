"""Schemas as Gemini takes them: no references, no nulls beside types, nothing that the service rejects."""

from __future__ import annotations

import json
from datetime import date, datetime
from enum import StrEnum
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from ingestion_assets.events.tagging.model import TagBatch
from resources.llm.gemini_provider import plain_schema


class Level(StrEnum):
    EASY = "easy"
    HARD = "hard"


class Card(BaseModel):
    """A card."""

    question: str = Field(description="Ends with a question mark")
    level: Level
    hint: str | None = None
    kind: Literal["card"] = "card"
    seen: date | None = None
    made: datetime
    weight: float = Field(ge=0, le=1)


class Deck(BaseModel):
    cards: list[Card] = Field(min_length=1, max_length=20)
    by: Card | None = None


def test_what_a_model_says_survives_in_the_dialect_of_gemini() -> None:
    card = plain_schema(Deck)["properties"]["cards"]["items"]

    assert card["properties"]["level"] == {"type": "string", "enum": ["easy", "hard"]}
    assert card["properties"]["hint"] == {"type": "string", "nullable": True}
    assert card["properties"]["kind"]["enum"] == ["card"]
    assert card["properties"]["seen"] == {"type": "string", "nullable": True}, "a format that the service rejects"
    assert card["properties"]["made"]["format"] == "date-time"
    assert card["properties"]["weight"] == {"type": "number", "minimum": 0, "maximum": 1}
    assert card["properties"]["question"]["description"] == "Ends with a question mark"
    assert plain_schema(Deck)["properties"]["cards"]["maxItems"] == 20
    assert plain_schema(Deck)["properties"]["by"]["nullable"] is True


@pytest.mark.parametrize("model", [Deck, TagBatch])
def test_nothing_is_left_that_is_not_shape(model: type[BaseModel]) -> None:
    text = json.dumps(plain_schema(model))

    for word in ("$ref", "$defs", "additionalProperties", '"title"', '"default"', '"null"', '"const"'):
        assert word not in text, word


@pytest.mark.parametrize("model", [Deck, TagBatch])
def test_the_sdk_takes_it(model: type[BaseModel]) -> None:
    from google.genai import types

    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=plain_schema(model))

    assert config.response_schema is not None
