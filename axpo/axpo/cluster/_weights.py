"""Defines how a learner's weights travel: `taken_from` as arrays of bytes, `put_into` a policy of the same layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from axpo_agents.policy import Learner
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch

Arrays: TypeAlias = Sequence[np.ndarray[Any, Any]]
"""The bytes of each trainable parameter, in order: what Ray's object store holds without copies."""
Files: TypeAlias = Mapping[str, np.ndarray[Any, Any]]
"""The bytes of files, by their paths within a folder."""
Parcel: TypeAlias = Arrays | Files
"""What lies on a shelf."""


class Shelf(Protocol):
    """Where weights lie for workers to take."""

    def put(self, parcel: Parcel) -> Any:
        """Lays it there; what it returns travels to workers, is a key for `get`, and keeps it there."""
        ...

    def get(self, key: Any) -> Any:
        """Takes it; called by workers."""
        ...


class HereShelf:
    """A shelf of this process."""

    def put(self, parcel: Parcel) -> Any:
        """See `Shelf`."""
        return parcel

    def get(self, key: Any) -> Any:
        """See `Shelf`."""
        return key


def taken_from(learner: Learner) -> Arrays:
    """A learner's trainable weights as they are now."""
    with torch.no_grad():
        return [
            parameter.detach().to("cpu", copy=True).contiguous().reshape(-1).view(torch.uint8).numpy()
            for parameter in learner.trainable_parameters()
        ]


def put_into(policy: TransformersPolicy, arrays: Arrays, version: int) -> None:
    """Gives a policy these weights, and their version.

    Raises:
        ValueError: they are those of another model.
    """
    parameters = policy.trainable_parameters()
    sizes = [parameter.numel() * parameter.element_size() for parameter in parameters]
    if sizes != [array.size for array in arrays]:
        raise ValueError("expected weights of the model that the worker loaded; their number or sizes differ")
    with torch.no_grad():
        for parameter, array in zip(parameters, arrays, strict=True):
            # Ray's arrays are read-only views of its store.
            own = torch.from_numpy(np.array(array))
            parameter.copy_(own.view(parameter.dtype).view(parameter.shape))
    policy.advance_version(version)
