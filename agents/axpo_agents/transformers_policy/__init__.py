"""Defines the policy that runs models of the Hugging Face Transformers library."""

from __future__ import annotations

from axpo_envs.plumbing.extras import requiring

with requiring("train", "a policy of the Transformers library"):
    from axpo_agents.engine._token_tree import Segment, TokenTree
    from axpo_agents.errors import PolicyError
    from axpo_agents.scoring._scorer import Packing
    from axpo_agents.transformers_policy._loading import LoadSettings, load_policy
    from axpo_agents.transformers_policy._weights import load_model
    from axpo_agents.transformers_policy.policy import TransformersPolicy

__all__ = [
    "LoadSettings",
    "Packing",
    "PolicyError",
    "Segment",
    "TokenTree",
    "TransformersPolicy",
    "load_model",
    "load_policy",
]
