"""Defines `axpo_advantages`, Eq. 2 to 4 as an advantage estimator of verl."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from axpo.adapters.verl.marking import Role, role_of
from axpo.algorithm.advantages import normalize
from axpo_envs.plumbing.extras import requiring

with requiring("verl", "AXPO in verl"):
    import torch


def axpo_advantages(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    index: Sequence[Any],
    config: Any = None,
    *,
    success_threshold: float = 0.5,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages of rollouts, sources and continuations, told from their masks (see `marking`).

    Without continuations it is GRPO with the sample standard deviation. Rollouts that were lost to infrastructure
    faults have no part in mean and deviation, and an advantage of 0.

    Args:
        token_level_rewards: shape (rows, tokens); a row's reward is their sum.
        response_mask: shape (rows, tokens); 1 where a token is trained.
        index: the group of every row.
        config: verl's algorithm settings; of them `norm_adv_by_std_in_grpo` is read.
        success_threshold: a continuation with at least this reward is a recovery.

    Returns:
        The advantages, shape (rows, tokens), twice: verl calls the second ones returns.

    Raises:
        ValueError: a group has several sources, or continuations of none.
    """
    divide = True if config is None else bool(config.get("norm_adv_by_std_in_grpo", True))
    rewards = token_level_rewards.sum(dim=-1).tolist()
    roles = [role_of(mask) for mask in response_mask.bool().tolist()]
    groups: dict[Any, list[int]] = defaultdict(list)
    for row, group in enumerate(index):
        groups[group].append(row)
    values = torch.zeros(len(roles), dtype=token_level_rewards.dtype, device=token_level_rewards.device)
    for group, rows in groups.items():
        for row, value in _of_group(group, rows, roles, rewards, (divide, success_threshold)):
            values[row] = value
    advantages = values[:, None] * response_mask
    return advantages, advantages


def _of_group(
    group: Any, rows: Sequence[int], roles: Sequence[Role], rewards: Sequence[float], how: tuple[bool, float]
) -> Iterator[tuple[int, float]]:
    divide, threshold = how
    firsts = [row for row in rows if roles[row] in (Role.ORDINARY, Role.SOURCE)]
    sources = [row for row in rows if roles[row] is Role.SOURCE]
    seconds = [row for row in rows if roles[row] is Role.CONTINUATION]
    if len(sources) > 1 or (seconds and not sources):
        raise ValueError(
            f"group {group!r}: expected one source for its continuations; got {len(sources)} and {len(seconds)} of them"
        )
    own = [rewards[row] for row in firsts]
    yield from zip(firsts, normalize(own, divide=divide), strict=True)
    reached = [rewards[row] for row in seconds]
    yield from zip(seconds, normalize(reached, divide=divide), strict=True)
    for source in sources:
        recovered = bool(reached) and max(reached) >= threshold
        credited = max([rewards[source], *reached]) if recovered else rewards[source]
        place = firsts.index(source)
        yield source, normalize([*own[:place], credited, *own[place + 1 :]], divide=divide)[place]
