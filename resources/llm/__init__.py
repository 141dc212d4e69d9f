"""LLM clients: one protocol; openai, gemini and offline behind it; errors, retries, pacing, usage and budgets.

Importing this package costs nothing but Pydantic: the SDKs are imported by the adapter that uses them.
"""

from resources.llm.client import build_client
from resources.llm.errors import ErrorCode, Flaw, LlmError, QuotaScope
from resources.llm.protocol import Completion, CompletionRequest, Deadline, LlmClient, Usage
from resources.llm.settings import LlmSettings

__all__ = [
    "Completion",
    "CompletionRequest",
    "Deadline",
    "ErrorCode",
    "Flaw",
    "LlmClient",
    "LlmError",
    "LlmSettings",
    "QuotaScope",
    "Usage",
    "build_client",
]
