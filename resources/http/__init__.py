"""The one way out: an HTTP client with deadlines, polite retries, pacing, budgets, size limits and an address guard.

Belongs here: everything about calling somebody else's HTTP service, knowing nothing of what the answers mean.
Importing the package is cheap; httpx is loaded when the first client is built.
"""

from __future__ import annotations

from resources.http.cache import CachedReply, MemoryCache, ValidatorCache
from resources.http.client import OutboundClient, OutboundSettings, OutboundStats
from resources.http.errors import (
    AddressRefusedError,
    BodyError,
    BodyRefusedError,
    BudgetSpent,
    HttpStatusError,
    NestingError,
    OutboundFailure,
)
from resources.http.pacing import MemoryBudget, MemoryPacer, Pacer, RequestBudget
from resources.http.policy import OutboundPolicy
from resources.http.reply import DecodedText, Headers, Reply, decode_text
from resources.redaction import RedactingFilter, redact, redact_url, register_secret

__all__ = [
    "AddressRefusedError",
    "BodyError",
    "BodyRefusedError",
    "BudgetSpent",
    "CachedReply",
    "DecodedText",
    "Headers",
    "HttpStatusError",
    "MemoryBudget",
    "MemoryCache",
    "MemoryPacer",
    "NestingError",
    "OutboundClient",
    "OutboundFailure",
    "OutboundPolicy",
    "OutboundSettings",
    "OutboundStats",
    "Pacer",
    "RedactingFilter",
    "Reply",
    "RequestBudget",
    "ValidatorCache",
    "decode_text",
    "redact",
    "redact_url",
    "register_secret",
]
