"""The provider without a network: cards and questions taken from the document's own sentences. Deterministic, French and English."""

from ingestion_assets.study.offline.compose import answer_offline
from ingestion_assets.study.offline.context import DocumentContext

RULES_VERSION = "1"
"""Stored with answers: better rules are another answer."""

__all__ = ["RULES_VERSION", "DocumentContext", "answer_offline"]
