"""From settings to a client: which providers, in which order, with shared pacing where there is a database."""

from __future__ import annotations

from resources.llm.fallback import FallbackClient
from resources.llm.offline import OfflineProvider
from resources.llm.protocol import LlmClient
from resources.llm.settings import LlmSettings


def build_client(settings: LlmSettings | None = None, *, database_url: str | None = None) -> LlmClient:
    """A client for the providers of `settings` (default: from the environment), to be used in `async with`.

    With `database_url` (a `postgresql://` URL) the pace is shared with every process that uses the same account;
    without, it is kept in this process. SDKs are imported when their provider is first built, not before.
    """
    settings = settings or LlmSettings()
    clients: list[LlmClient] = []
    for name in settings.order:
        if name == "offline":
            clients.append(OfflineProvider())
        else:
            raise NotImplementedError(name, database_url)
    return FallbackClient(clients)
