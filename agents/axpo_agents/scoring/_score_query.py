"""Defines `ScoreQuery`: what is read of a sequence to score it, and which tokens are predicted where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from axpo_agents.engine._reading import Reading
from axpo_agents.engine.network import Network
from axpo_agents.errors import PolicyError
from axpo_agents.types import TokenSequence


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreQuery:
    """A sequence as a scoring pass takes it.

    Worked value: the ids (7, 8, 3, 4) with the last two sampled are read as (7, 8, 3); its positions 1 and 2 predict 3
    and 4.
    """

    reading: Reading
    """The tokens before the last sampled one, which is predicted but never read."""
    sampled: npt.NDArray[np.bool_]
    """Where they were sampled, shape (its length,)."""
    predictors: npt.NDArray[np.int64]
    """Positions that predict a sampled token, in order."""
    targets: npt.NDArray[np.int64]
    """Those tokens."""

    @classmethod
    def of(cls, network: Network, sequence: TokenSequence) -> ScoreQuery:
        """Lays out a sequence.

        Raises:
            PolicyError: its first token is a sampled one, or its images do not fit its placeholders.
        """
        sampled = np.asarray(sequence.sampled, dtype=np.bool_)
        if sampled[:1].any():
            raise PolicyError("expected a sequence to begin with a context; its first token is marked as sampled")
        places = sampled.nonzero()[0]
        stop = int(places[-1]) if len(places) else 0
        return cls(
            reading=network.read(sequence.ids, sequence.images).part(0, stop),
            sampled=sampled[:stop],
            predictors=places - 1,
            targets=np.asarray(sequence.ids, dtype=np.int64)[places],
        )
