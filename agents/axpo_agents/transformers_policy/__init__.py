"""Defines the policy that runs models of the Hugging Face Transformers library."""

from __future__ import annotations

from axpo_envs.extras import requiring

with requiring("train", "a policy of the Transformers library"):
    from axpo_agents.transformers_policy.errors import PolicyError
    from axpo_agents.transformers_policy.loading import LoadSettings, load_policy
    from axpo_agents.transformers_policy.policy import TransformersPolicy
    from axpo_agents.transformers_policy.scoring import Packing
    from axpo_agents.transformers_policy.token_tree import Segment, TokenTree

__all__ = ["LoadSettings", "Packing", "PolicyError", "Segment", "TokenTree", "TransformersPolicy", "load_policy"]
