"""The numbers of a finished collection, as the command line prints them and the assets publish them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingestion_assets.study.assembling import mix
from ingestion_assets.study.checks.collection import longest_key_share
from ingestion_assets.study.generation.engine import Outcome
from ingestion_assets.study.model import Document
from ingestion_assets.study.pipeline import Built, is_partial


def report(built: Built) -> dict[str, Any]:
    """Documents, chunks, cards, questions, coverage, evidence and usage."""
    collection = built.collection
    flagged = sum(bool(question.flags) for question in collection.questions)
    return {
        "documents": [document_line(document) for document in collection.documents],
        "chunks": {
            "total": sum(collection.chunks.values()),
            **{str(status): count for status, count in collection.chunks.items()},
            "reasons": dict(sorted(collection.chunk_codes.items())),
        },
        "cards": {**collection.card_tally.report(), "requested": built.plan.cards, "difficulty": mix(collection.cards)},
        "questions": {
            **collection.question_tally.report(),
            "requested": built.plan.questions,
            "difficulty": mix(collection.questions),
            "flagged": flagged,
            "longest_key": longest_key_share(collection.questions),
        },
        "coverage": {
            "words": collection.coverage.words,
            "pages": collection.coverage.pages,
            "deciles": collection.coverage.deciles,
        },
        "evidence": {"verified": collection.verified, "total": collection.items},
        "usage": usage(built.outcome),
        "partial": is_partial(built.results, collection.documents),
        "judged": _judged(built),
        "warnings": dict(sorted(built.outcome.warnings.items())),
        "errors": dict(sorted(built.outcome.errors.items())),
        "quota": built.outcome.quota.report() if built.outcome.quota else None,
    }


def _judged(built: Built) -> dict[str, int]:
    """What was looked at again: questions that were answered otherwise are gone, cards without support are flagged."""
    cards = {card.id for card in built.collection.cards} & set(built.verdicts)
    return {
        "questions": len(built.verdicts) - len(cards),
        "wrong": sum(not good for name, good in built.verdicts.items() if name not in cards),
        "cards": len(cards),
        "unsupported": sum(not built.verdicts[name] for name in cards),
    }


def document_line(document: Document) -> dict[str, Any]:
    """One document: what it is and whether it could be used."""
    return {
        "name": document.name,
        "status": document.status,
        "code": document.code,
        "pages": document.pages,
        "language": document.language,
        **({"detail": document.detail} if document.detail else {}),
    }


def usage(outcome: Outcome) -> dict[str, Any]:
    """Tokens and calls, and what they cost where the prices are known."""
    total = outcome.total
    return {
        "asked": outcome.asked,
        "reused": outcome.reused,
        "requests": total.requests,
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "cost_usd": cost(outcome),
        "by_provider": {
            f"{provider}/{model}": spent.total_tokens for (provider, model), spent in sorted(outcome.usage.items())
        },
    }


def cost(outcome: Outcome) -> float | None:
    """US dollars; None when a model that was used has no known price."""
    if not outcome.usage:
        return 0.0
    from resources.llm import LlmSettings
    from resources.llm.prices import load_prices

    prices = load_prices(LlmSettings().llm_prices)
    costs = [prices.cost(provider, model, spent) for (provider, model), spent in outcome.usage.items()]
    known = [float(amount) for amount in costs if amount is not None]
    return round(sum(known), 6) if len(known) == len(costs) else None


def usable(documents: Sequence[Document]) -> int:
    """Documents that questions can be made from."""
    return sum(document.ready for document in documents)
