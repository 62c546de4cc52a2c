"""Defines the probe: a small network that is trained to answer from views alone, to measure what views give away.

It is shown more than a policy is: enlarged patches of the view where the things lie that a question asks about.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

Bytes = npt.NDArray[np.uint8]

_BATCH: Final = 64
_LEARNING_RATE: Final = 2e-3
_TENTH: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibits:
    """Views with what is asked of them, N of them; every array's first axis counts them."""

    patches: Bytes
    """(N, P, S, S, 3): parts of the view, enlarged; those that a question does not need are black."""
    views: Bytes
    """(N, V, V, 3): the view, black where it is of no use; V = 0 without it."""
    asked: npt.NDArray[np.float32]
    """(N, A): what is asked, as numbers."""
    groups: npt.NDArray[np.int64]
    """(N,): which sort of question."""
    answers: npt.NDArray[np.int64]
    """(N,): number of the right answer; -1 where training never had it."""

    def __len__(self) -> int:
        return len(self.answers)

    def take(self, chosen: npt.NDArray[np.int64]) -> Exhibits:
        """Those of these numbers."""
        return Exhibits(
            patches=self.patches[chosen],
            views=self.views[chosen],
            asked=self.asked[chosen],
            groups=self.groups[chosen],
            answers=self.answers[chosen],
        )


class Probe(nn.Module):
    """Two small convolutional encoders, one of patches and one of the view, and a head over all answers."""

    def __init__(self, examples: Exhibits, allowed: npt.NDArray[np.bool_]) -> None:
        super().__init__()
        self._of_patch = _encoder()
        self._of_view = _encoder() if examples.views.shape[1] else None
        slots = examples.patches.shape[1] + (self._of_view is not None)
        self._head = nn.Sequential(
            nn.Linear(_FEATURES * slots + examples.asked.shape[1], 128), nn.ReLU(), nn.Linear(128, allowed.shape[1])
        )
        self.register_buffer("_allowed", torch.from_numpy(allowed))

    def forward(self, shown: Exhibits) -> torch.Tensor:
        """Scores of all answers, (N, answers); those that the sort of question never has are minus infinity."""
        number, slots = shown.patches.shape[:2]
        patches = _encoded(self._of_patch, shown.patches.reshape(number * slots, *shown.patches.shape[2:]))
        features = [patches.reshape(number, -1), torch.from_numpy(shown.asked)]
        if self._of_view is not None:
            features.append(_encoded(self._of_view, shown.views))
        scores: torch.Tensor = self._head(torch.cat(features, dim=1))
        allowed = self._allowed
        assert isinstance(allowed, torch.Tensor)
        return scores.masked_fill(~allowed[torch.from_numpy(shown.groups)], -torch.inf)


_FEATURES: Final = 64


def _encoder() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 48, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
        nn.Flatten(), nn.Linear(48 * 16, _FEATURES), nn.ReLU(),
    )  # fmt: skip


def _encoded(encoder: nn.Module, images: Bytes) -> torch.Tensor:
    """Features of images, (N, 64); zeros for those that are black, which cost nothing."""
    features = torch.zeros(len(images), _FEATURES)
    used = np.flatnonzero(images.reshape(len(images), -1).any(axis=1))
    if not used.size:
        return features
    return features.index_copy(0, torch.from_numpy(used), encoder(_pixels(images[used])))


def _pixels(images: Bytes) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 128 - 1


def train_probe(examples: Exhibits, *, answers: int, epochs: int, seed: int = 0) -> Probe:
    """Trains on nine tenths, and keeps the weights that are right most often on the last tenth.

    Args:
        examples: what it is trained on; all their answers are known.
        answers: how many answers there are.
        epochs: how often each example is seen.
        seed: seeds weights and order.
    """
    allowed = np.zeros((int(examples.groups.max()) + 1, answers), dtype=bool)
    allowed[examples.groups, examples.answers] = True
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        order = np.random.default_rng(seed).permutation(len(examples))
        kept, learned = np.split(order, [len(order) // _TENTH])
        probe, checked = Probe(examples, allowed), examples.take(kept)
        optimizer = torch.optim.AdamW(probe.parameters(), lr=_LEARNING_RATE, weight_decay=1e-3)
        steps = epochs * -(-len(learned) // _BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
        best, weights = -1, copy.deepcopy(probe.state_dict())
        for epoch in range(epochs):
            shuffled = np.random.default_rng((seed, epoch)).permutation(learned)
            for batch in np.array_split(shuffled, -(-len(learned) // _BATCH)):
                shown = examples.take(batch)
                loss = functional.cross_entropy(probe(shown), torch.from_numpy(shown.answers))
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
            right = int((read(probe, checked) == checked.answers).sum())
            if right > best:
                best, weights = right, copy.deepcopy(probe.state_dict())
        probe.load_state_dict(weights)
    return probe


@torch.no_grad()
def read(probe: Probe, shown: Exhibits) -> npt.NDArray[np.int64]:
    """What a probe answers, (N,)."""
    with _one_thread():
        batches = np.array_split(np.arange(len(shown)), -(-len(shown) // (4 * _BATCH)) or 1)
        return np.concatenate([probe(shown.take(batch)).argmax(dim=1).numpy() for batch in batches])


def guesses(examples: Exhibits, shown: Exhibits) -> npt.NDArray[np.int64]:
    """What always answering the most frequent answer of each sort of question answers, (N,)."""
    counts = np.zeros((int(max(examples.groups.max(), shown.groups.max())) + 1, int(examples.answers.max()) + 1))
    np.add.at(counts, (examples.groups, examples.answers), 1)
    likely: npt.NDArray[np.int64] = counts.argmax(axis=1)[shown.groups]
    return likely


def numbered(texts: Sequence[str], known: Sequence[str]) -> npt.NDArray[np.int64]:
    """The place of each text among the known ones, (N,); -1 for one that is none of them."""
    places = {text: place for place, text in enumerate(known)}
    return np.array([places.get(text, -1) for text in texts], dtype=np.int64)


@contextmanager
def _one_thread() -> Iterator[None]:
    # So small a network gains nothing from a second one.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
