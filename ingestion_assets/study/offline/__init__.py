"""The provider without a network: cards and questions from the document's own sentences, in French and English.

Deterministic: the same document gives the same answers.
"""

from ingestion_assets.study.offline.compose import answer_offline
from ingestion_assets.study.offline.context import DocumentContext

__all__ = ["DocumentContext", "answer_offline"]
