"""Defines `VllmRolloutWorker`: vLLM in a worker elsewhere, which follows a learner's weights as files."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from axpo.cluster._weights import Files, Shelf
from axpo.cluster.rollouts import Weights
from axpo_agents.policy import Learner, Prefix, Sampled
from axpo_agents.remote import ServedSampler, WeightFolder, WeightForm, load_vllm_sampler
from axpo_agents.types import Sampling, TokenSequence, Truncation

if TYPE_CHECKING:
    import torch

_FOLDER: Final = "axpo-weights-"
"""How the names of temporary folders begin."""


def files_laid_on(shelf: Shelf, form: WeightForm, learner: Learner) -> Any:
    """Lays a learner's weights on a shelf as files; returns the key that they are taken by.

    Args:
        shelf: where.
        form: what is written: a whole checkpoint, or adapters alone.
        learner: whose weights.

    Raises:
        PolicyError: adapters are wanted of a learner that has none.
    """
    with TemporaryDirectory(prefix=_FOLDER) as folder:
        written = WeightFolder(Path(folder), form).write(learner).folder
        paths = sorted(path for path in written.rglob("*") if path.is_file())
        return shelf.put({str(path.relative_to(written)): np.fromfile(path, np.uint8) for path in paths})


@dataclass(frozen=True, slots=True)
class _Delivered:
    """Weights that came as files, in the place of the learner who wrote them."""

    version: int
    files: Files

    def save(self, folder: str | Path) -> None:
        for name, content in self.files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content.tofile(path)

    def save_adapters(self, folder: Path) -> None:
        self.save(folder)


class VllmRolloutWorker:
    """Samples with vLLM, which takes over the weights that it is asked to sample with.

    Args:
        model: what is loaded; must be found here under the name that it has where the learner is.
        form: how new weights reach vLLM.
        options: of `vllm.LLM`.
        shelf: where weights lie.

    Raises:
        EnvConfigError: vLLM is not installed here.
    """

    def __init__(self, model: str, form: WeightForm, options: Mapping[str, Any], shelf: Shelf) -> None:
        # The engine lives and dies with the worker: one in a process of its own would outlive a kill, and keep its GPU.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        self._folder: Final = Path(gettempdir()) / f"{_FOLDER}{secrets.token_hex(8)}"
        self._form = form
        self._sampler: Final[ServedSampler] = load_vllm_sampler(model, form, self._folder, options)
        self._shelf = shelf
        self._taken = -1

    def ready(self) -> None:
        """Answers."""

    def sample(self, weights: Weights, prefixes: Sequence[Prefix], sampling: Sampling, seed: int) -> list[Sampled]:
        """One turn after each prefix, with the version of the weights that sampled it."""
        self._adopt(weights)
        return self._sampler.sample(prefixes, sampling, seed=seed)

    def logprobs(
        self, weights: Weights, sequences: Sequence[TokenSequence], temperature: float, truncation: Truncation
    ) -> list[torch.Tensor]:
        """Log-probability of every sampled token, as `RemotePolicy.logprobs` tells it."""
        self._adopt(weights)
        return self._sampler.logprobs(sequences, temperature=temperature, truncation=truncation)

    def _adopt(self, weights: Weights) -> None:
        # vLLM forgets older prefixes with older weights; another era alone needs nothing.
        if weights.version <= self._taken:
            return
        self._sampler.stage(_Delivered(weights.version, self._shelf.get(weights.key)))
        self._sampler.adopt()
        if self._form is not WeightForm.LORA:
            # They have been read, and whoever ends a worker kills it, which would leave them behind.
            self._sampler.discard()
            self._folder.rmdir()
        self._taken = weights.version
