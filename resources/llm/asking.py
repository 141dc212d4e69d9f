"""Asking until an answer can be used, for callers that ask one thing at a time.

`LlmClient.complete` gives up on an answer that is empty, malformed, cut off or refused, because what to do about it
depends on the question. For a single question the remedy is simple: ask again, with more room where it was cut off.
"""

from __future__ import annotations

from dataclasses import replace

from resources.llm.errors import Flaw, LlmError, LlmRefusalError, LlmResponseError
from resources.llm.protocol import Completion, CompletionRequest, Deadline, LlmClient, Spent, T, together


async def ask(
    client: LlmClient, request: CompletionRequest[T], *, deadline: Deadline, reasks: int = 2
) -> Completion[T]:
    """Complete a request, asking again up to `reasks` times when the answer's content cannot be used.

    Raises the last `LlmError` with the usage of all attempts.
    """
    spent: Spent = {}
    for left in range(reasks, -1, -1):
        try:
            completion = await client.complete(request, deadline=deadline)
        except (LlmResponseError, LlmRefusalError) as error:
            spent = together(spent, error.spent)
            if left == 0 or deadline.remaining <= 0:
                error.charge(spent)
                raise
            if isinstance(error, LlmResponseError) and error.flaw is Flaw.TRUNCATED:
                request = replace(request, max_output_tokens=request.max_output_tokens * 2)
        except LlmError as error:
            error.charge(together(spent, error.spent))
            raise
        else:
            return completion.costing(spent)
    raise AssertionError("unreachable: the last round returns or raises")
