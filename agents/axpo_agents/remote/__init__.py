"""Defines policies whose model runs behind servers with the interface of vLLM, or in vLLM in this process."""

from __future__ import annotations

from axpo_envs.plumbing.extras import requiring

with requiring("remote", "a policy behind a server"):
    from axpo_agents.remote._loading import load_remote_policy
    from axpo_agents.remote._policy import RemotePolicy
    from axpo_agents.remote._served import ServedSampler, WeightFolder, load_served_sampler
    from axpo_agents.remote._settings import Dialect, PromptSettings, RemoteSettings
    from axpo_agents.remote._vllm import load_vllm_sampler, require_vllm
    from axpo_agents.remote._weights import WeightForm

__all__ = [
    "Dialect",
    "PromptSettings",
    "RemotePolicy",
    "RemoteSettings",
    "ServedSampler",
    "WeightFolder",
    "WeightForm",
    "load_remote_policy",
    "load_served_sampler",
    "load_vllm_sampler",
    "require_vllm",
]
