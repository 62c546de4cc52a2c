"""Defines `Lane`: one server of several, with the weights that it has and how it has fared."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from axpo_agents.remote._messages import Answer, AnswerError, Request
from axpo_agents.remote._server import InferenceServer
from axpo_agents.remote._weights import WeightForm, Weights, load_weights, unload_adapters
from axpo_envs.errors import InfrastructureFault
from axpo_envs.plumbing.web import Retries
from axpo_envs.plumbing.web.service import ServiceRefusedError


class Lane:
    """One server of several.

    Args:
        server: asked once each time; whoever uses the lane asks again.
        retries: how long it rests after a failure.
    """

    def __init__(self, server: InferenceServer, retries: Retries) -> None:
        self.server = server
        self.under_way = 0
        self._retries = retries
        self._failures = 0
        self._rests_until = 0.0
        self._loaded: str | None = None
        self._adapters: str | None = None
        self._loading = threading.Lock()

    @property
    def rest_s(self) -> float:
        """Seconds before it should be asked again, after it failed."""
        return max(0.0, self._rests_until - time.monotonic())

    def load(self, form: WeightForm, weights: Weights) -> None:
        """Makes sure that the server has these weights, and no older adapters; raises as `load_weights` does."""
        with self._loading:
            if self._loaded == weights.name:
                return
            self._loaded = None
            with self._watched():
                load_weights(self.server, form, weights)
                if form.adapters:
                    if self._adapters is not None and self._adapters != weights.name:
                        unload_adapters(self.server, form, self._adapters)
                    self._adapters = weights.name
            self._loaded = weights.name

    def ask(self, request: Request, form: WeightForm | None, weights: Weights | None) -> Answer:
        """The answer, sampled with these weights.

        Raises:
            InfrastructureFault: the server could not be reached, or answered by other weights (as one does that was
                started again): it gets them before it is asked the next time.
            ServiceRefusedError: the server refuses the request.
        """
        if form is None or weights is None:
            with self._watched():
                return self.server.ask(request)
        self.load(form, weights)
        try:
            with self._watched():
                answer = self.server.ask_named(request, weights.name) if form.adapters else self.server.ask(request)
        except ServiceRefusedError as error:
            if not form.adapters or not _unknown(error, weights.name):
                raise
            self._loaded = None
            raise AnswerError(f"is that it does not know the adapters {weights.name}") from error
        if not form.adapters and answer.versions != (weights.name,):
            self._loaded = None
            raise AnswerError(f"was sampled by the weights {answer.versions}; expected {weights.name}")
        return replace(answer, version=weights.version)

    def _watched(self) -> _Watch:
        return _Watch(self)

    def fared(self, *, well: bool) -> None:
        """Remembers whether it could be reached; what a server that could not be is to have is loaded again."""
        if well:
            self._failures = 0
            self._rests_until = 0.0
            return
        self._failures += 1
        self._loaded = None
        self._rests_until = time.monotonic() + self._retries.wait_s(self._failures)


def _unknown(error: ServiceRefusedError, adapters: str) -> bool:
    """Whether a server refuses a request since it has no such adapters: SGLang says so with status 400."""
    return error.status == 404 or (error.status == 400 and f"never been loaded: {adapters}" in error.message)


class _Watch:
    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            self._lane.fared(well=True)
        elif isinstance(error, InfrastructureFault) and not isinstance(error, AnswerError):
            self._lane.fared(well=False)
