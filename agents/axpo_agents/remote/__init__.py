"""Defines the policy whose model runs behind a server with the interface of vLLM."""

from __future__ import annotations

from axpo_envs.plumbing.extras import requiring

with requiring("remote", "a policy behind a server"):
    from axpo_agents.remote._loading import load_remote_policy
    from axpo_agents.remote._policy import RemotePolicy
    from axpo_agents.remote._settings import RemoteSettings

__all__ = ["RemotePolicy", "RemoteSettings", "load_remote_policy"]
