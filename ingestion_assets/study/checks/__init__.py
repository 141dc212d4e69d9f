"""The checks of quality: small functions, each of which a test feeds with its defect and with clean items.

`questions` and `cards` judge one draft, `shared` holds what both need, `collection` judges items against each other. A hard
finding drops the item and is counted under its reason; a soft one is kept on the item as a flag.
Ids (S1 … X2, I1) follow the list of item-writing flaws in docs/study.md.
"""

from ingestion_assets.study.checks.cards import check_card
from ingestion_assets.study.checks.findings import Finding, Scope
from ingestion_assets.study.checks.questions import check_question

__all__ = ["Finding", "Scope", "check_card", "check_question"]
