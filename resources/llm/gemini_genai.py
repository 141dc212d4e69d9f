"""The google-genai adapter: the default way to Gemini."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from pydantic import SecretStr

from resources.llm import gemini_provider as gemini
from resources.llm.adapter import Answer, Heard, account_of, costing, read_answer
from resources.llm.protocol import CompletionRequest, T, Usage


class GenaiAdapter:
    """Calls through google-genai. Its retries stay off: they ignore the delay that Gemini names."""

    name = gemini.PROVIDER

    def __init__(
        self, *, api_key: SecretStr, model: str, base_url: str | None = None, thinking_budget: int | None = None
    ) -> None:
        # Imported here: the SDK costs two seconds of CPU.
        from google import genai
        from google.genai import types

        self.model = model
        self.account = account_of(api_key.get_secret_value(), base_url)
        self._thinking = gemini.thinking_budget(model, thinking_budget)
        self._client = genai.Client(
            api_key=api_key.get_secret_value(),
            vertexai=False,
            http_options=types.HttpOptions(base_url=base_url) if base_url else None,
        )
        self._schemas: dict[type[Any], dict[str, Any]] = {}

    async def call(self, request: CompletionRequest[T], *, within: float, heard: Heard) -> Answer[T]:  # noqa: ARG002
        """One call. See `adapter.Adapter.call`; Gemini names no limits, so `heard` is not called."""
        import httpx2
        from google.genai import errors

        try:
            response = await self._client.aio.models.generate_content(
                model=self.model, contents=request.prompt, config=self._config(request, within)
            )
        except errors.APIError as error:
            headers = getattr(error.response, "headers", None) or {}
            lower = {str(name).lower(): str(value) for name, value in headers.items()}
            raise gemini.classify(error.code, error.message, error.details, lower, model=self.model) from None
        except (TimeoutError, httpx2.TimeoutException):
            raise gemini.too_slow(self.model, within) from None
        except _transport_errors():
            raise gemini.cannot_reach(self.model) from None
        except ValueError:
            # The SDK reads any body of status 200 as JSON, a proxy's page too.
            raise gemini.not_an_answer(self.model) from None
        except RecursionError:
            # The SDK reads the model's own text as JSON, too: one that got stuck at opening brackets is too deep for it.
            raise gemini.endless(self.model) from None
        return self._read(response, request.answer)

    def _config(self, request: CompletionRequest[T], within: float) -> Any:
        from google.genai import types

        schema = self._schemas.get(request.answer)
        if schema is None:
            schema = self._schemas[request.answer] = gemini.plain_schema(request.answer)
        room = 0 if self._thinking == 0 else max(gemini.THINKING_ROOM, self._thinking or 0)
        return types.GenerateContentConfig(
            system_instruction=request.system,
            response_mime_type="application/json",
            response_schema=schema,
            max_output_tokens=request.max_output_tokens + room,
            thinking_config=None if self._thinking is None else types.ThinkingConfig(thinking_budget=self._thinking),
            # Milliseconds here; seconds in the other SDK.
            http_options=types.HttpOptions(timeout=max(1, int(within * 1000))),
        )

    def _read(self, response: Any, answer: type[T]) -> Answer[T]:
        counted = response.usage_metadata
        usage = Usage()
        if counted is not None:
            usage = Usage(
                input_tokens=counted.prompt_token_count or 0,
                output_tokens=(counted.candidates_token_count or 0) + (counted.thoughts_token_count or 0),
                cached_tokens=counted.cached_content_token_count or 0,
            )
        feedback = response.prompt_feedback
        candidate = response.candidates[0] if response.candidates else None
        if candidate is None and feedback is None and counted is None:
            raise gemini.not_an_answer(self.model)
        error = gemini.blocked(
            _name(feedback.block_reason) if feedback is not None else None,
            _name(candidate.finish_reason) if candidate is not None else None,
            model=self.model,
        )
        if error is not None:
            raise costing(error, usage)
        parts = (candidate.content.parts if candidate is not None and candidate.content is not None else None) or []
        text = "".join(part.text for part in parts if part.text and not part.thought)
        value = read_answer(text, answer, provider=gemini.PROVIDER, model=self.model, usage=usage)
        return Answer(value=value, usage=usage)

    async def aclose(self) -> None:
        await self._client.aio.aclose()


def _name(reason: Any) -> str | None:
    """`SAFETY` of a string enum, of a plain string, or of nothing."""
    return None if reason is None else str(getattr(reason, "value", reason))


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the transport raises: httpx2, or aiohttp, which the SDK prefers for its asynchronous calls where it is."""
    import httpx2

    if importlib.util.find_spec("aiohttp") is None:
        return (httpx2.HTTPError, OSError)
    client_error: type[Exception] = importlib.import_module("aiohttp").ClientError
    return (httpx2.HTTPError, OSError, client_error)
