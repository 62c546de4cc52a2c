"""Defines `load_weights`: how a server is made to sample with other weights, in the words of each kind of server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from axpo_agents.remote._messages import AnswerError
from axpo_agents.remote._server import InferenceServer
from axpo_agents.remote._settings import Dialect
from axpo_envs.plumbing.web.service import ServiceRefusedError


class WeightForm(StrEnum):
    """How new weights reach a server. It reads them from a folder that it must see under the same path."""

    RELOAD = "reload"
    """vLLM reads a whole checkpoint in place of its weights (`VLLM_SERVER_DEV_MODE=1`)."""
    LORA = "lora"
    """vLLM loads adapters under a new name beside its weights (`VLLM_ALLOW_RUNTIME_LORA_UPDATING=1`)."""
    SGLANG = "sglang"
    """SGLang reads a whole checkpoint in place of its weights."""
    SGLANG_LORA = "sglang-lora"
    """SGLang loads adapters under a new name beside its weights (`--enable-lora`), and forgets those before them."""

    @property
    def adapters(self) -> bool:
        """Whether adapters alone are written, which requests name."""
        return self in (WeightForm.LORA, WeightForm.SGLANG_LORA)

    @property
    def dialect(self) -> Dialect:
        """Which endpoints tell what sampled."""
        return _DIALECTS[self]


_DIALECTS: Final = {
    WeightForm.RELOAD: Dialect.VLLM,
    WeightForm.LORA: Dialect.COMPLETIONS,
    WeightForm.SGLANG: Dialect.SGLANG,
    WeightForm.SGLANG_LORA: Dialect.SGLANG,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights of a learner, written down."""

    version: int
    """How many updates they have behind them."""
    name: str
    """What no other weights are called, at any server."""
    folder: Path
    """Where they lie."""


def load_weights(server: InferenceServer, form: WeightForm, weights: Weights) -> None:
    """Makes a server sample with these weights; nothing of an older version's caches is left.

    Raises:
        InfrastructureFault: the server could not be reached, or failed.
        ServiceRefusedError: it refuses; the message says what it lacks.
    """
    _LOADERS[form](server, weights)


def _reload(server: InferenceServer, weights: Weights) -> None:
    server.control("/pause?mode=wait", {})
    try:
        folder = str(weights.folder)
        server.control("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": folder}})
        forgotten = server.control("/reset_prefix_cache", {})
        # A prefix that stays would continue prompts with what the older weights computed of them.
        if isinstance(forgotten, dict) and forgotten.get("success") is False:
            raise AnswerError("to new weights is that its prefix cache could not be forgotten: it is still in use")
        server.control("/update_weight_version", {"new_version": weights.name})
    finally:
        server.control("/resume", {})


def unload_adapters(server: InferenceServer, form: WeightForm, name: str) -> bool:
    """Has a server forget adapters that nothing asks for any more; whether it knew them.

    Raises:
        InfrastructureFault: the server could not be reached, or failed.
    """
    try:
        server.control(f"{_ADAPTER_PATHS[form]}/unload_lora_adapter", {"lora_name": name})
    except ServiceRefusedError:
        return False
    return True


def _load_adapters(form: WeightForm, server: InferenceServer, weights: Weights) -> None:
    path = f"{_ADAPTER_PATHS[form]}/load_lora_adapter"
    body = {"lora_name": weights.name, "lora_path": str(weights.folder)}
    try:
        server.control(path, body)
    except ServiceRefusedError:
        # No name is loaded twice, and the server has it still where what was lost was an answer alone.
        if not unload_adapters(server, form, weights.name):
            raise
        server.control(path, body)


def _reload_sglang(server: InferenceServer, weights: Weights) -> None:
    body = {"model_path": str(weights.folder), "weight_version": weights.name, "flush_cache": True}
    answer = server.control("/update_weights_from_disk", body)
    if not isinstance(answer, dict) or answer.get("success") is not True:
        raise AnswerError(f"to new weights is {answer!r:.200}; expected success")


_ADAPTER_PATHS: Final = {WeightForm.LORA: "/v1", WeightForm.SGLANG_LORA: ""}
_LOADERS: Final[dict[WeightForm, Callable[[InferenceServer, Weights], None]]] = {
    WeightForm.RELOAD: _reload,
    WeightForm.SGLANG: _reload_sglang,
    **{form: partial(_load_adapters, form) for form in _ADAPTER_PATHS},
}
