"""Defines `ServedWeights`: the weights of a completions server, changed by the requests that vLLM and SGLang know."""

from __future__ import annotations

import copy
import importlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from axpo_agents.engine.network import Network
from axpo_agents.transformers_policy import LoadSettings, TransformersPolicy, load_policy

VLLM: Final = "vllm"
SGLANG: Final = "sglang"


class RefusedError(Exception):
    """A request that a server would refuse.

    Args:
        message: why.
        status: the HTTP status of the refusal.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ServedWeights:
    """The weights that a server samples with.

    Args:
        policy: what it starts with, under the version `default`.
        kind: whose requests change them: `vllm` or `sglang`.
    """

    def __init__(self, policy: TransformersPolicy, kind: str = VLLM) -> None:
        self._base = policy
        self._adapters: dict[str, TransformersPolicy] = {}
        self.kind = kind
        self.version = "default"
        self.paused = False

    def named(self, model: str | None) -> TransformersPolicy:
        """The policy of a request: adapters by their name, under any other name the model itself.

        Raises:
            RefusedError: the name is one that adapters would have.
        """
        if model is not None and model.startswith("axpo-") and model not in self._adapters:
            raise RefusedError(f"The model `{model}` does not exist.", 404)
        return self._adapters.get(model or "", self._base)

    def adapted(self, name: str | None) -> TransformersPolicy:
        """The policy of a request to SGLang: with adapters of that name, or None for the model itself.

        Raises:
            RefusedError: there are no such adapters.
        """
        if name is not None and name not in self._adapters:
            raise RefusedError(f"Got LoRA adapter that has never been loaded: {name}\nAll loaded adapters: ...")
        return self._base if name is None else self._adapters[name]

    def control(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer to a request that changes weights; None where it is none.

        Raises:
            RefusedError: the weights cannot be read.
        """
        action = self._actions().get(path.partition("?")[0])
        return None if action is None else action(body)

    def _actions(self) -> dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]]:
        if self.kind == SGLANG:
            return {
                "/update_weights_from_disk": self._update_from_disk,
                "/load_lora_adapter": self._load_sglang_adapter,
                "/unload_lora_adapter": self._unload_sglang_adapter,
            }
        return {
            "/pause": lambda _body: self._pause(True),
            "/resume": lambda _body: self._pause(False),
            "/collective_rpc": self._reload,
            "/reset_prefix_cache": lambda _body: self._forget(),
            "/update_weight_version": self._name,
            "/v1/load_lora_adapter": self._load_adapter,
            "/v1/unload_lora_adapter": self._unload_adapter,
        }

    def _pause(self, paused: bool) -> dict[str, Any]:
        self.paused = paused
        return {"status": "paused" if paused else "resumed"}

    def _forget(self) -> dict[str, Any]:
        self._base.forget()
        return {"success": True}

    def _name(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self.version = body["new_version"]
        return {"success": True}

    def _reload(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if body["method"] != "reload_weights" or not self.paused:
            raise RefusedError(f"expected reload_weights while requests are paused; got {body['method']}")
        self._base = self._read(body["kwargs"]["weights_path"])
        return {"results": [None]}

    def _update_from_disk(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self._base = self._read(body["model_path"])
        self.version = body["weight_version"]
        return {"success": True, "message": "Succeeded to update model weights."}

    def _load_sglang_adapter(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if body["lora_name"] in self._adapters:
            raise RefusedError(f"Failed to load LoRA adapter {body['lora_name']} because it is already loaded")
        config = json.loads((Path(body["lora_path"]) / "adapter_config.json").read_text(encoding="utf-8"))
        if isinstance(config["target_modules"], str):
            raise RefusedError("Only 'all' or 'all-linear' can be used as the string for target module")
        self._load_adapter(body)
        return {"success": True}

    def _unload_sglang_adapter(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if self._adapters.pop(body["lora_name"], None) is None:
            raise RefusedError(f"LoRA with name {body['lora_name']} does not exist.")
        return {"success": True}

    def _read(self, folder: str) -> TransformersPolicy:
        try:
            return load_policy(folder, LoadSettings())
        except ValueError as error:
            raise RefusedError(str(error)) from error

    def _unload_adapter(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if self._adapters.pop(body["lora_name"], None) is None:
            raise RefusedError(f"The lora adapter '{body['lora_name']}' cannot be found.", 404)
        return {}

    def _load_adapter(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if body["lora_name"] in self._adapters:
            raise RefusedError(f"The lora adapter '{body['lora_name']}' has already been loaded.")
        peft = importlib.import_module("peft")
        own = self._base
        model = copy.deepcopy(own.model)
        with warnings.catch_warnings():
            # peft asks the model whether it recomputes activations by a name that Transformers has deprecated.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            model = peft.PeftModel.from_pretrained(model, body["lora_path"]).merge_and_unload()
        network = Network(model, own._network.patchifier, own._network.vocabulary)
        self._adapters[body["lora_name"]] = TransformersPolicy(
            network=network, chat=own._chat, files=own._files, adapters=None, computing=own._computing
        )
        return {}
