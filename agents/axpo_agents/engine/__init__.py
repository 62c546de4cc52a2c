"""How a Transformers model samples: its network, caches of keys and values, attention over them, and images."""

from __future__ import annotations

from axpo_envs.plumbing.extras import requiring

with requiring("train", "sampling with a model of the Transformers library"):
    import torch  # noqa: F401  (named here once, whichever module of the room is imported first)
