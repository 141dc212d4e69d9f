"""The google-generativeai adapter, for installations that cannot leave it. Its support ended on 2025-11-30.

Over REST it raises the parents of the classes that the gRPC transport raises, with plain dicts for details; both are
read. It has no asynchronous REST transport, so each call takes a thread.
"""

from __future__ import annotations

import asyncio
import functools
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import SecretStr

from resources.errors import PermanentError
from resources.llm import gemini_provider as gemini
from resources.llm.adapter import Answer, Heard, account_of, costing, read_answer
from resources.llm.protocol import CompletionRequest, T, Usage


class GeminiLegacyError(PermanentError):
    """GEMINI_SDK=legacy without the package."""


class LegacyAdapter:
    """Calls through google-generativeai over REST."""

    name = gemini.PROVIDER

    def __init__(self, *, api_key: SecretStr, model: str, base_url: str | None = None, threads: int = 32) -> None:
        try:
            with warnings.catch_warnings():
                # The package announces its own end at import; the settings say so too.
                warnings.simplefilter("ignore")
                import google.generativeai as legacy  # type: ignore[import-untyped, unused-ignore]
        except ImportError:
            raise GeminiLegacyError(
                "GEMINI_SDK=legacy needs google-generativeai: pip install -e '.[gemini-legacy]', or unset GEMINI_SDK"
            ) from None
        self.model = model
        self.account = account_of(api_key.get_secret_value(), base_url)
        legacy.configure(
            api_key=api_key.get_secret_value(),
            transport="rest",
            client_options={"api_endpoint": base_url} if base_url else None,
        )
        self._sdk: Any = legacy
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="gemini-legacy")

    async def call(self, request: CompletionRequest[T], *, within: float, heard: Heard) -> Answer[T]:  # noqa: ARG002
        """One call. See `adapter.Adapter.call`; Gemini names no limits, so `heard` is not called."""
        from google.api_core import exceptions  # type: ignore[import-untyped, unused-ignore]
        from google.protobuf import json_format  # type: ignore[import-untyped, unused-ignore]
        from requests import exceptions as transport

        ask = functools.partial(self._ask, request, within)
        try:
            response = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except (exceptions.RetryError, exceptions.DeadlineExceeded, transport.Timeout):
            raise gemini.too_slow(self.model, within) from None
        except exceptions.GoogleAPICallError as error:
            headers = getattr(error.response, "headers", None) or {}
            lower = {str(name).lower(): str(value) for name, value in headers.items()}
            status = int(error.code or 500)
            raise gemini.classify(status, error.message, list(error.details or ()), lower, model=self.model) from None
        except (transport.RequestException, OSError):
            raise gemini.cannot_reach(self.model) from None
        except (ValueError, json_format.ParseError):
            raise gemini.not_an_answer(self.model) from None
        except AttributeError:
            # The SDK's own reading of an error body fails on the list of one that the service sometimes sends; which
            # error it was is lost with it.
            raise gemini.cannot_reach(self.model) from None
        return self._read(response, request.answer)

    def _ask(self, request: CompletionRequest[T], within: float) -> Any:
        model = self._sdk.GenerativeModel(self.model, system_instruction=request.system)
        return model.generate_content(
            request.prompt,
            generation_config=self._sdk.GenerationConfig(
                response_mime_type="application/json",
                response_schema=gemini.plain_schema(request.answer),
                max_output_tokens=request.max_output_tokens + gemini.THINKING_ROOM,
            ),
            # Seconds here; milliseconds in the other SDK. None: no retries of its own.
            request_options={"timeout": within, "retry": None},
        )

    def _read(self, response: Any, answer: type[T]) -> Answer[T]:
        counted = response.usage_metadata
        prompt = counted.prompt_token_count or 0
        usage = Usage(
            input_tokens=prompt,
            # The SDK is older than thinking, which costs as much as the answer: only the total holds it.
            output_tokens=max(counted.candidates_token_count or 0, (counted.total_token_count or 0) - prompt),
            cached_tokens=counted.cached_content_token_count or 0,
        )
        candidate = response.candidates[0] if response.candidates else None
        # `.text` raises when the prompt was blocked: the reasons are read first, and the text from its parts.
        error = gemini.blocked(
            response.prompt_feedback.block_reason.name if response.prompt_feedback.block_reason else None,
            candidate.finish_reason.name if candidate is not None else None,
            model=self.model,
        )
        if error is not None:
            raise costing(error, usage)
        if candidate is None and usage.total_tokens == 0:
            raise gemini.not_an_answer(self.model)
        text = "".join(part.text for part in candidate.content.parts) if candidate is not None else ""
        value = read_answer(text, answer, provider=gemini.PROVIDER, model=self.model, usage=usage)
        return Answer(value=value, usage=usage)

    async def aclose(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
