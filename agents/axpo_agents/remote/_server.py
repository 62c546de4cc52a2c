"""Defines `InferenceServer`, which asks a server: many requests at a time, with time limits and retries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from axpo_agents.remote._dialect import read, write
from axpo_agents.remote._messages import Answer, Request
from axpo_agents.remote._settings import Dialect, RemoteSettings
from axpo_envs.plumbing.web.service import Service, checked_url

_ADVICE: Final = {
    400: "the answer says which field or length the server does not take",
    401: "name the environment variable that holds the server's key",
    403: "the key does not allow it, or prompts with images are switched off (vllm serve --enable-scale-out)",
    404: "check address and model name; prompts with images need vllm serve --enable-scale-out, new weights "
    "VLLM_SERVER_DEV_MODE=1, adapters --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1",
}


class InferenceServer:
    """A server that continues prompts of token ids. Threads may share it.

    Args:
        settings: where it is, and how it is asked.

    Raises:
        EnvConfigError: a setting is unusable.
    """

    def __init__(self, settings: RemoteSettings) -> None:
        self.settings = settings
        self._address = checked_url(settings.url).rstrip("/").removesuffix("/v1")
        self._service = Service(
            timeout_s=settings.timeout_s, retries=settings.retries, key=settings.key, advice=_ADVICE
        )
        self._service.check()

    @property
    def samples_per_request(self) -> int:
        """Turns after one prefix that are asked for at a time."""
        return self.settings.samples_per_request

    def close(self) -> None:
        """Closes the connections; a later request opens new ones."""
        self._service.close()

    def ask(self, request: Request) -> Answer:
        """The answer to one request.

        Raises:
            InfrastructureFault: the server stayed unreachable, or its answer cannot be used (`AnswerError`).
            ServiceRefusedError: the server refuses the request.
        """
        # SGLang has one model, and its endpoint knows names of adapters alone.
        return self.ask_named(request, None if self.settings.dialect is Dialect.SGLANG else self.settings.model)

    def ask_named(self, request: Request, model: str | None) -> Answer:
        """The answer of a model or adapter of that name; raises as `ask` does."""
        dialect = self.settings.dialect
        message = write(request, model, dialect)
        return read(self._service.post(self._address + message.path, message.body), request, dialect)

    def control(self, path: str, body: Mapping[str, Any]) -> Any:
        """What the server answers where it is told what to do, not what to write; raises as `ask` does."""
        return self._service.post(self._address + path, body, silent=True)

    def ask_all(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers to many requests, in their order; asked side by side as far as the settings allow.

        Raises:
            Exception: as `ask`; requests that had not been sent by then are left out.
        """
        if not requests:
            return []
        with ThreadPoolExecutor(min(self.settings.concurrency, len(requests)), thread_name_prefix="ask") as pool:
            return list(pool.map(self.ask, requests))
