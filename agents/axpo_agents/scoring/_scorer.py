"""Defines `Scorer`: log-probabilities of given tokens, in padded rows or in a packed tree."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import torch

from axpo_agents.engine._token_tree import TokenTree
from axpo_agents.engine._tree_attention import TreeAttention
from axpo_agents.engine.network import Network
from axpo_agents.passes import Pass, plan_rows
from axpo_agents.scoring._packed_tree import plan_tree, score_tree, tree_of
from axpo_agents.scoring._padded_rows import score_rows
from axpo_agents.scoring._score_query import ScoreQuery
from axpo_agents.types import WHOLE, TokenSequence, Truncation


class Packing(StrEnum):
    """How sequences are laid out while they are scored and trained; the results are the same but for rounding."""

    ROWS = "rows"
    """Every sequence in a row of its own, padded: the plain form."""
    TREE = "tree"
    """End to end, what they share held and computed once."""


class Scorer:
    """Scores sequences.

    Args:
        network: the model.
        packing: how sequences are laid out.
        attention: how attention over a tree is computed; None takes what suits the network's device.
    """

    def __init__(self, network: Network, packing: Packing, attention: TreeAttention | None = None) -> None:
        self.network = network
        self.packing = packing
        self.attention = attention or TreeAttention.of(network.device)

    def score(
        self, sequences: Sequence[TokenSequence], temperature: float, truncation: Truncation = WHOLE
    ) -> list[torch.Tensor]:
        """Log-probability of every sampled token; see `Scorer.logprobs`."""
        if temperature <= 0.0:
            raise ValueError(f"expected a temperature above 0: a greedy choice has no density; got {temperature}")
        queries = self._queries(sequences)
        if self.packing is Packing.ROWS:
            return score_rows(self.network, queries, temperature, truncation)
        return score_tree(self.network, queries, temperature, truncation, self.attention)

    def plan(self, sequences: Sequence[TokenSequence], tokens: int) -> tuple[Pass, ...]:
        """Which sequences are scored together; see `Scorer.plan`."""
        if self.packing is Packing.ROWS:
            return plan_rows(sequences, tokens=tokens)
        return plan_tree(self._queries(sequences), tokens=tokens)

    def tree(self, sequences: Sequence[TokenSequence]) -> TokenTree:
        """What a packed pass over the sequences reads."""
        return tree_of(self._queries(sequences))

    def _queries(self, sequences: Sequence[TokenSequence]) -> list[ScoreQuery]:
        return [ScoreQuery.of(self.network, sequence) for sequence in sequences]
