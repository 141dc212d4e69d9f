"""The provider without a network: it gives the answer that the request itself carries.

`resources` knows nothing of events or documents, so the rules stay with their domain: whoever builds a request puts a
function in `CompletionRequest.offline` that answers it. Deterministic as long as that function is.
"""

from __future__ import annotations

import asyncio

from resources.llm.errors import LlmRequestError
from resources.llm.protocol import Closing, Completion, CompletionRequest, Deadline, T


class OfflineProvider(Closing):
    """Answers from `CompletionRequest.offline`. Costs no tokens, waits for nothing, is never rate limited."""

    name = "offline"

    def __init__(self, model: str = "rules") -> None:
        self.model = model

    async def complete(self, request: CompletionRequest[T], *, deadline: Deadline) -> Completion[T]:  # noqa: ARG002
        """The request's own answer. Raises `LlmRequestError` when it carries none."""
        if request.offline is None:
            raise LlmRequestError(
                f"{request.purpose} has no offline answer: set OPENAI_API_KEY or GEMINI_API_KEY",
                provider=self.name,
                model=self.model,
            )
        value = request.offline()
        # Rules can be slow in sum; other tasks of the loop get their turn between two answers.
        await asyncio.sleep(0)
        return Completion(value=value, provider=self.name, model=self.model)
