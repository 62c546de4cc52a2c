"""Log-probabilities of given tokens, in padded rows or in a packed tree of what sequences share."""

from __future__ import annotations

from axpo_envs.plumbing.extras import requiring

with requiring("train", "scoring with a model of the Transformers library"):
    import torch  # noqa: F401  (named here once, whichever module of the room is imported first)
