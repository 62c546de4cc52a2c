"""Defines `score_tree` and `plan_tree`: log-probabilities of given tokens, every shared stretch computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from axpo_agents.engine._choices import Choices
from axpo_agents.engine._token_tree import TokenTree
from axpo_agents.engine._tree_attention import TreeAttention, tree_mask
from axpo_agents.engine.network import Network
from axpo_agents.passes import Pass
from axpo_agents.scoring._score_query import ScoreQuery
from axpo_agents.types import Truncation


def score_tree(
    network: Network,
    queries: Sequence[ScoreQuery],
    temperature: float,
    truncation: Truncation,
    attention: TreeAttention,
) -> list[torch.Tensor]:
    """The log-probabilities of each query's targets.

    A token that several queries share is scored once, and what each of them does with it adds up in its gradient.
    """
    tree = tree_of(queries)
    if not tree.segments:
        return [torch.zeros(0, device=network.device) for _ in queries]
    predictors = [places[query.predictors] for places, query in zip(tree.places(), queries, strict=True)]
    asked = np.stack([np.concatenate(predictors), np.concatenate([query.targets for query in queries])])
    # One row of logits for every place that predicts something, and one log-probability for every way it goes on.
    pairs, answers = np.unique(asked, axis=1, return_inverse=True)
    predicting, rows = np.unique(pairs[0], return_inverse=True)
    mask = tree_mask(tree, attention, network.device)
    batch = network.collate([tree.reading], align="left", padding=mask.padding)
    places = np.zeros(batch.filled.shape, dtype=np.bool_)
    places[0, predicting] = True
    choices = Choices(
        places=places, rows=rows.reshape(-1), tokens=pairs[1], temperature=temperature, truncation=truncation
    )
    logprobs = network.logprobs(batch, choices, mask=mask, features=network.encode_images(batch.images))
    index = torch.from_numpy(answers.reshape(-1)).to(network.device)
    return list(torch.split(logprobs[index], [len(query.targets) for query in queries]))


def plan_tree(queries: Sequence[ScoreQuery], *, tokens: int) -> tuple[Pass, ...]:
    """Passes of whole trees.

    A tree is everything that shares a root, so no prefix is computed in two passes, unless one tree alone is too large:
    then it is taken apart into sequences, neighbours together.

    Args:
        queries: what is to be scored.
        tokens: most tokens of a pass; a longer sequence has a pass of its own.
    """
    tree = tree_of(queries)
    trees: dict[int | None, list[int]] = {}
    for number, path in enumerate(tree.paths):
        trees.setdefault(path[0] if path else None, []).append(number)
    pieces = [piece for members in trees.values() for piece in _pieces(tree, members, tokens)]
    passes: list[Pass] = []
    # Largest first: a pass that does not fit into memory fails at once.
    for piece in sorted(pieces, key=lambda piece: -piece.tokens):
        if passes and passes[-1].tokens + piece.tokens <= tokens:
            passes[-1] += piece
        else:
            passes.append(piece)
    return tuple(passes)


def tree_of(queries: Sequence[ScoreQuery]) -> TokenTree:
    """The tree of what is read of some queries."""
    return TokenTree.of([query.reading for query in queries], [query.sampled for query in queries])


def _pieces(tree: TokenTree, members: Sequence[int], tokens: int) -> Iterator[Pass]:
    """A whole tree; one that is too large in parts, each with as many sequences as fit, neighbours together."""
    lengths = [len(segment.reading) for segment in tree.segments]
    part: list[int] = []
    held: set[int] = set()
    size = 0
    for member in sorted(members, key=lambda member: tree.paths[member]):
        more = sum(lengths[segment] for segment in tree.paths[member] if segment not in held)
        if part and more and size + more > tokens:
            yield Pass(members=tuple(part), tokens=size)
            part, held, more = [], set(), sum(lengths[segment] for segment in tree.paths[member])
            size = 0
        part.append(member)
        held.update(tree.paths[member])
        size += more
    yield Pass(members=tuple(part), tokens=size)
