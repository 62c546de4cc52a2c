"""Defines `score_rows`: log-probabilities of given tokens, one padded row per sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch

from axpo_agents.engine._choices import Choices
from axpo_agents.engine._image_features import ImageFeatures
from axpo_agents.engine.network import Network
from axpo_agents.scoring._score_query import ScoreQuery
from axpo_agents.types import Truncation

_SHORTEST: Final = 0.6
"""Rows of one batch are at least this share of its longest: what padding may cost."""


def score_rows(
    network: Network, queries: Sequence[ScoreQuery], temperature: float, truncation: Truncation
) -> list[torch.Tensor]:
    """The log-probabilities of each query's targets."""
    features = network.encode_images([image for query in queries for image in query.reading.images])
    results = [torch.zeros(0, device=network.device) for _ in queries]
    for rows in _batches([len(query.reading) for query in queries]):
        scored = _score_batch(network, [queries[row] for row in rows], features, temperature, truncation)
        for row, values in zip(rows, scored, strict=True):
            results[row] = values
    return results


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of similar length together, longest first; rows without tokens are left out."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if lengths[row] == 0:
            break
        if batch and lengths[row] < _SHORTEST * lengths[batch[0]]:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _score_batch(
    network: Network,
    rows: list[ScoreQuery],
    features: ImageFeatures | None,
    temperature: float,
    truncation: Truncation,
) -> tuple[torch.Tensor, ...]:
    # Padding stands behind the tokens, where causal attention never sees it.
    batch = network.collate([row.reading for row in rows], align="left")
    places = np.zeros(batch.filled.shape, dtype=np.bool_)
    for index, row in enumerate(rows):
        places[index, row.predictors] = True
    tokens = np.concatenate([row.targets for row in rows])
    choices = Choices(
        places=places, rows=np.arange(len(tokens)), tokens=tokens, temperature=temperature, truncation=truncation
    )
    return torch.split(network.logprobs(batch, choices, features=features), [len(row.targets) for row in rows])
