"""Tagging events with a closed bilingual taxonomy: the values, the prompt, the answer, the offline rules.

Pure: no Dagster, no SQL, no provider SDK. `engine.py` runs the questions through any client of `resources.llm`; the
asset `tag_enrichments` decides what to ask and stores what comes back.
"""

from ingestion_assets.events.tagging.engine import RowStatus, TaggingOutcome, TagResult, tag_events
from ingestion_assets.events.tagging.model import EventTags, RefusedAnswer, TagAnswer, TagBatch
from ingestion_assets.events.tagging.prompt import PROMPT_VERSION
from ingestion_assets.events.tagging.rules import RULES_VERSION, Firing, RuleAnswer, tag_by_rules
from ingestion_assets.events.tagging.taxonomy import AXES, Ambiance, Audience, EventType, Genre, Taxonomy, taxonomy
from ingestion_assets.events.tagging.text import TagInput, tag_input

__all__ = [
    "AXES",
    "PROMPT_VERSION",
    "RULES_VERSION",
    "Ambiance",
    "Audience",
    "EventTags",
    "EventType",
    "Firing",
    "Genre",
    "RefusedAnswer",
    "RowStatus",
    "RuleAnswer",
    "TagAnswer",
    "TagBatch",
    "TagInput",
    "TagResult",
    "TaggingOutcome",
    "Taxonomy",
    "tag_by_rules",
    "tag_events",
    "tag_input",
    "taxonomy",
]
