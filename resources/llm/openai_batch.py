"""OpenAI's batch mode: half the price and a quota of its own, for an answer within a day.

Three steps that need not happen in one process: `submit` uploads requests and returns batches, `poll` asks how one is
doing, `collect` reads what came of it, by `custom_id`. What to do with rows that failed or expired is the caller's: the
results name them, and the online client can take them over. Bookkeeping between the steps is in `batch_ledger.py`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Generic

from pydantic import SecretStr

from resources.llm.adapter import read_answer
from resources.llm.errors import ErrorCode, LlmError, LlmRequestError, LlmResponseError, LlmUnavailableError
from resources.llm.openai_provider import API, FILTERED, PROVIDER, classify, room_to_think, usage_of
from resources.llm.protocol import CompletionRequest, T, Usage
from resources.llm.settings import LlmSettings

if TYPE_CHECKING:
    import openai

MAX_REQUESTS = 50_000
MAX_BYTES = 190 * 1024 * 1024
"""Of one file: the documented limits are 50,000 requests and 200 MB."""
WINDOW: Final = "24h"
SUBMISSION: Final = "submission"
"""Key in a batch's metadata: by it a batch is found again whose submitter died before it could write down the id."""
ENDPOINT: Final = "/v1/chat/completions"


class BatchState(StrEnum):
    """As the provider names them."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @classmethod
    def _missing_(cls, value: object) -> BatchState:  # noqa: ARG003
        """A state that is not known yet is one that has not ended: it must not stop who asks about the others."""
        return cls.IN_PROGRESS

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to wait for. An expired batch has results too, and has cost them."""
        return self in (BatchState.COMPLETED, BatchState.EXPIRED, BatchState.CANCELLED, BatchState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """How a batch stands."""

    batch_id: str
    state: BatchState
    model: str
    submission: str = ""
    """The name under which it was announced."""
    custom_ids: tuple[str, ...] = ()
    """Of a batch that was just submitted; empty when polled."""
    total: int = 0
    completed: int = 0
    failed: int = 0
    output_file: str | None = None
    error_file: str | None = None
    error_text: str | None = None

    @property
    def over_limit(self) -> bool:
        """Refused, after it was accepted, for more tokens than the account may have waiting in batches."""
        return self.state is BatchState.FAILED and "token_limit_exceeded" in (self.error_text or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult(Generic[T]):
    """What came of one request: a value, or an error."""

    custom_id: str
    value: T | None = None
    usage: Usage = field(default_factory=Usage)
    error_code: str | None = None
    """Of `ErrorCode`, or `batch_expired`, `batch_failed`."""
    error_text: str | None = None


class OpenAiBatches:
    """Batches of one key and model. Synchronous: every step is a few calls, hours apart."""

    def __init__(self, settings: LlmSettings) -> None:
        import openai

        if settings.openai_api_key is None:
            raise ValueError("batch mode needs OPENAI_API_KEY")
        self.model = settings.openai_model
        self._reasoning_effort = settings.openai_reasoning_effort
        key: SecretStr = settings.openai_api_key
        self._client = openai.OpenAI(
            api_key=key.get_secret_value(),
            base_url=settings.openai_base_url or API,
            # Cheap to repeat, and nothing paces these endpoints: the SDK's own retries do here.
            max_retries=2,
            timeout=max(60.0, settings.llm_request_timeout_seconds),
        )

    def submit(
        self,
        requests: Mapping[str, CompletionRequest[T]],
        *,
        max_requests: int = MAX_REQUESTS,
        max_tokens: int | None = None,
        metadata: Mapping[str, str] | None = None,
        announce: Callable[[str, Sequence[str]], None] = lambda _submission, _custom_ids: None,
    ) -> Iterator[BatchStatus]:
        """Upload requests by custom_id and start as many batches as they need, one after another.

        A batch that was started is charged whether or not anybody remembers it: `announce` is told, before each one, a
        name by which `find` knows it and what it will hold; record each status as it comes. `max_tokens` bounds the
        estimated tokens of one batch (the tier's limit of enqueued tokens). Raises `LlmError`.
        """
        for part in self._parts(requests, max_requests, max_tokens):
            submission, custom_ids = uuid.uuid4().hex, tuple(custom_id for custom_id, _ in part)
            announce(submission, custom_ids)
            body = "\n".join(line for _, line in part).encode()
            file = self._try(
                lambda body=body: self._client.files.create(file=("requests.jsonl", body), purpose="batch")
            )
            batch = self._try(
                # Not repeated by the SDK: each call that arrives makes a batch, also when its answer is lost.
                lambda file=file, submission=submission: self._client.with_options(max_retries=0).batches.create(
                    input_file_id=file.id,
                    endpoint=ENDPOINT,
                    completion_window=WINDOW,
                    metadata={**(metadata or {}), SUBMISSION: submission},
                )
            )
            yield self._status(batch, custom_ids)

    def find(self, submission: str, *, since: datetime) -> BatchStatus | None:
        """The batch that was announced under this name, None when the provider has none. Raises `LlmError`.

        The provider lists the newest first; the search ends at what is older than `since`.
        """
        for batch in self._try(lambda: self._client.batches.list(limit=100)):
            if batch.created_at < since.timestamp():
                return None
            if (batch.metadata or {}).get(SUBMISSION) == submission:
                return self._status(batch, ())
        return None

    def _parts(
        self, requests: Mapping[str, CompletionRequest[T]], max_requests: int, max_tokens: int | None
    ) -> Iterator[list[tuple[str, str]]]:
        part: list[tuple[str, str]] = []
        size = tokens = 0
        for custom_id, request in requests.items():
            line = self._line(custom_id, request)
            cost = request.prompt_tokens + request.max_output_tokens
            full = len(part) >= max_requests or size + len(line) > MAX_BYTES
            if part and (full or (max_tokens is not None and tokens + cost > max_tokens)):
                yield part
                part, size, tokens = [], 0, 0
            part.append((custom_id, line))
            size += len(line.encode()) + 1
            tokens += cost
        if part:
            yield part

    def _line(self, custom_id: str, request: CompletionRequest[T]) -> str:
        from openai.lib._pydantic import to_strict_json_schema

        body = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": request.system},
                {"role": "user", "content": request.prompt},
            ],
            **room_to_think(request.max_output_tokens, self._reasoning_effort),
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": request.answer.__name__,
                    "strict": True,
                    "schema": to_strict_json_schema(request.answer),
                },
            },
        }
        line = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}
        return json.dumps(line, ensure_ascii=False, sort_keys=True)

    def poll(self, batch_id: str, *, within: float | None = None) -> BatchStatus:
        """How a batch stands now; asked once and for `within` seconds, where those are given. Raises `LlmError`."""
        client = self._client if within is None else self._client.with_options(timeout=within, max_retries=0)
        return self._status(self._try(lambda: client.batches.retrieve(batch_id)), ())

    def cancel(self, batch_id: str) -> BatchStatus:
        """Stop a batch; what it has finished is charged and can be collected."""
        return self._status(self._try(lambda: self._client.batches.cancel(batch_id)), ())

    def collect(self, status: BatchStatus, answer: type[T]) -> Iterator[BatchResult[T]]:
        """What came of each request, in no order. Requests that the files do not mention are not in it.

        Works for expired and cancelled batches too: they return what they finished.
        """
        for name in (status.output_file, status.error_file):
            if name is None:
                continue
            content = self._try(lambda name=name: self._client.files.content(name))
            # JSON may hold the other separators that `splitlines` knows.
            for line in content.content.split(b"\n"):
                if line.strip():
                    yield self._result(line, answer)

    def _result(self, line: bytes, answer: type[T]) -> BatchResult[T]:
        """What one line says. One that cannot be read costs its own answer: the others are paid for too."""
        custom_id = ""
        try:
            record = json.loads(line)
            custom_id = str(record["custom_id"])
            return self._answered(custom_id, record, answer)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            return BatchResult(
                custom_id=custom_id,
                error_code=ErrorCode.INVALID_RESPONSE,
                error_text="openai's file of answers holds something else than a completion",
            )

    def _answered(self, custom_id: str, record: dict[str, Any], answer: type[T]) -> BatchResult[T]:
        failure, response = record.get("error"), record.get("response")
        if failure is not None or response is None:
            code = str((failure or {}).get("code") or "batch_failed")
            return BatchResult(custom_id=custom_id, error_code=code, error_text=f"the batch gave no answer ({code})")
        body = response.get("body") or {}
        if response.get("status_code") != 200:
            code = str((body.get("error") or {}).get("code") or response.get("status_code"))
            return BatchResult(
                custom_id=custom_id,
                usage=Usage(requests=1),
                error_code=ErrorCode.REFUSED if code in FILTERED else ErrorCode.INVALID_REQUEST,
                error_text=f"openai rejected the request in the batch ({code})",
            )
        return self._read(custom_id, body, answer)

    def _read(self, custom_id: str, body: dict[str, Any], answer: type[T]) -> BatchResult[T]:
        from openai.types.chat import ChatCompletion

        # As the SDK reads it online: values that it does not know yet are no errors.
        completion = ChatCompletion.construct(**body)
        usage = replace(usage_of(completion.usage), requests=1)
        choice = completion.choices[0]
        code: str = ErrorCode.INVALID_RESPONSE
        if choice.message.refusal:
            code, text = ErrorCode.REFUSED, "the model of openai declined to answer this text"
        elif choice.finish_reason == "length":
            text = "openai cut the answer off at the token ceiling"
        else:
            try:
                value = read_answer(choice.message.content, answer, provider=PROVIDER, model=self.model, usage=usage)
            except LlmResponseError as error:
                text = str(error)
            else:
                return BatchResult(custom_id=custom_id, value=value, usage=usage)
        return BatchResult(custom_id=custom_id, usage=usage, error_code=code, error_text=text)

    def _status(self, batch: openai.types.Batch, custom_ids: tuple[str, ...]) -> BatchStatus:
        counts = batch.request_counts
        errors = (batch.errors.data if batch.errors is not None else None) or []
        return BatchStatus(
            batch_id=batch.id,
            state=BatchState(batch.status),
            model=self.model,
            submission=(batch.metadata or {}).get(SUBMISSION, ""),
            custom_ids=custom_ids,
            total=counts.total if counts is not None else len(custom_ids),
            completed=counts.completed if counts is not None else 0,
            failed=counts.failed if counts is not None else 0,
            output_file=batch.output_file_id,
            error_file=batch.error_file_id,
            error_text="; ".join(str(error.code) for error in errors) or None,
        )

    def _try(self, call: Any) -> Any:
        import openai

        try:
            said = call()
        except openai.APIError as error:
            raise self._typed(error) from None
        except (AttributeError, ValueError):  # what the SDK makes of a page that is no JSON
            said = None
        # Nor does it check an object: one without its id, or a list without its items, is a proxy's.
        if said is None or isinstance(said, str) or None in (getattr(said, "id", ""), getattr(said, "data", ())):
            raise LlmUnavailableError(
                "openai answered 200 with something else than a batch or a file; is OPENAI_BASE_URL the address of an API?",
                provider=PROVIDER,
                model=self.model,
            )
        return said

    def _typed(self, error: openai.APIError) -> LlmError:
        import openai

        if isinstance(error, openai.NotFoundError):
            return LlmRequestError(
                "openai has no such batch or file, or this address has no batch mode: check that OPENAI_API_KEY is of the "
                "project that submitted it, and OPENAI_BASE_URL",
                provider=PROVIDER,
                model=self.model,
            )
        return classify(error, model=self.model)

    def close(self) -> None:
        """Close connections."""
        self._client.close()
