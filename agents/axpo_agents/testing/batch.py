"""Defines `Batch`, which samples what several requests ask for at a time in one call of a policy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from axpo_agents.policy import Prefix, Sampled
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_agents.types import Sampling


@dataclass(slots=True)
class _Ask:
    policy: TransformersPolicy
    prefixes: list[Prefix]
    sampling: Sampling
    turns: list[Sampled] = field(default_factory=list)


class Batch:
    """Requests that wait while another is computed are computed together, those with the same settings."""

    def __init__(self) -> None:
        self._waiting: list[_Ask] = []
        self._computing = threading.Lock()

    def sample(self, policy: TransformersPolicy, prefixes: Sequence[Prefix], sampling: Sampling) -> list[Sampled]:
        """As the policy samples, whatever is asked for beside it: every prefix has a seed of its own."""
        ask = _Ask(policy, list(prefixes), sampling)
        self._waiting.append(ask)
        with self._computing:
            if not ask.turns:
                self._compute(ask)
        return ask.turns

    def _compute(self, first: _Ask) -> None:
        asked = [each for each in list(self._waiting) if (each.policy, each.sampling) == (first.policy, first.sampling)]
        turns = iter(
            first.policy.sample([prefix for each in asked for prefix in each.prefixes], first.sampling, seed=0)
        )
        for each in asked:
            each.turns = [next(turns) for _ in each.prefixes]
            self._waiting.remove(each)
