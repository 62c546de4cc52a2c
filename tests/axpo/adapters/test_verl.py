"""AXPO's rows, advantages and second attempts as verl gets them; `axpo-bench adapters` runs them in verl itself."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import axpo
from axpo.adapters.verl import axpo_advantages, axpo_policy_loss, register
from axpo.adapters.verl._families import Families, Family
from axpo.adapters.verl.marking import Role, response_mask, role_of
from axpo.algorithm.types import Branch, BranchPoint, Group

CALLING = "<think>a</think><tool_call>x"


def branched(toy: Any, rewards: tuple[float, ...], reached: tuple[float, ...]) -> tuple[Group, int]:
    """A group whose second rollout is cut behind its call's opening tag, with continuations."""
    rollouts = tuple(toy.rollout(CALLING, "<answer>7</answer>", reward=reward) for reward in rewards)
    cut = rollouts[1].completions[0].cut
    point = BranchPoint(
        group=0, rollout=1, turn=0, token=cut, confidence=0.5, snapshot=rollouts[1].snapshots[0], continuations=2
    )
    again = tuple(toy.rollout(CALLING, "<answer>7</answer>", reward=reward, forced=cut) for reward in reached)
    branch = Branch(point=point, continuations=again)
    return Group(question=rollouts[0].episode.question, rollouts=rollouts, branches=(branch,)), cut


@pytest.mark.parametrize(
    ("rewards", "reached"),
    [((1.0, 0.0, 0.0, 0.0), (1.0, 0.0)), ((0.0, 0.0, 0.0), (0.0, 0.0)), ((0.0, -1.0, 1.0), (2.0, 0.0))],
)
def test_the_estimator_credits_as_our_own_advantages_do(
    toy: Any, rewards: tuple[float, ...], reached: tuple[float, ...]
) -> None:
    group, cut = branched(toy, rewards, reached)
    rows, masks = [], []
    for number, rollout in enumerate(group.rollouts):
        role = Role.SOURCE if number == 1 else Role.ORDINARY
        rows.append(rollout)
        masks.append(response_mask(rollout.sequence(), rollout.turn_offset(0), role, cut))
        assert role_of(masks[-1]) is role
    for rollout in group.branches[0].continuations:
        rows.append(rollout)
        masks.append(response_mask(rollout.sequence(), rollout.turn_offset(0), Role.CONTINUATION, cut))
        assert role_of(masks[-1]) is Role.CONTINUATION
    mask = torch.tensor(masks)
    scores = torch.zeros(mask.shape)
    scores[:, -1] = torch.tensor([rollout.reward for rollout in rows])
    got, _ = axpo_advantages(scores, mask, ["u"] * len(rows))

    expected = torch.zeros(mask.shape)
    for advantage in axpo.compute_advantages([group], axpo.AdvantageConfig()):
        row = next(number for number, rollout in enumerate(rows) if rollout is advantage.rollout)
        first = advantage.rollout.turn_offset(0)
        expected[row, advantage.start - first : advantage.stop - first] = advantage.value
    assert torch.allclose(got, expected * mask, atol=1e-5)


def test_lost_rollouts_have_no_part_in_their_group() -> None:
    mask = torch.tensor([[1, 1], [1, 1], [0, 0]])
    scores = torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    got, _ = axpo_advantages(scores, mask, ["u"] * 3)
    assert torch.allclose(got[:, 0], torch.tensor([0.7071, -0.7071, 0.0]), atol=1e-3)
    undivided, _ = axpo_advantages(scores, mask, ["u"] * 3, {"norm_adv_by_std_in_grpo": False})
    assert undivided[:, 0].tolist() == [0.5, -0.5, 0.0]


def test_continuations_without_their_source_are_refused() -> None:
    with pytest.raises(ValueError, match="one source"):
        axpo_advantages(torch.zeros(2, 3), torch.tensor([[1, 1, 1], [0, 0, 1]]), ["u", "u"])


def test_the_loss_is_the_clipped_one_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    core = ModuleType("verl.trainer.ppo.core_algos")
    known: dict[str, Any] = {}
    core.agg_loss = lambda loss_mat, loss_mask, loss_agg_mode: (loss_mat * loss_mask).sum() / loss_mask.sum()  # type: ignore[attr-defined]
    for kind in ("register_adv_est", "register_policy_loss"):
        setattr(core, kind, lambda name, kind=kind: lambda function: known.setdefault(f"{kind} {name}", function))
    for name in ("verl", "verl.trainer", "verl.trainer.ppo"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["verl.trainer.ppo"].core_algos = core  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, core.__name__, core)
    config = SimpleNamespace(clip_ratio=0.2, clip_ratio_low=None, clip_ratio_high=0.4, global_batch_info={})
    new = torch.tensor([[2.0, 0.5, 2.0, 9.0]]).log()
    mask = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    loss, metrics = axpo_policy_loss(
        torch.zeros(1, 4), new, torch.tensor([[1.0, -1.0, -1.0, 1.0]]), mask, config=config
    )
    # Ratios 2, 0.5, 2: clipped to 1.4 and 0.8; a negative advantage's ratio above 1 is not bounded.
    assert loss.item() == pytest.approx((-1.4 + 0.8 + 2.0) / 3)
    assert metrics["actor/pg_clipfrac"] == pytest.approx(2 / 3)
    register()
    assert set(known) == {"register_adv_est axpo", "register_policy_loss axpo"}


def test_second_attempts_wait_for_the_first_and_begin_at_the_least_confident_failure(toy: Any) -> None:
    firsts = [toy.rollout(CALLING, "<answer>1</answer>", probability=p) for p in (0.9, 0.4)]

    async def play() -> list[Any]:
        families = Families()

        async def member() -> Any:
            family = families.of("u", 4, 2, 0.5)
            number = await family.join()
            if family.is_second(number):
                return await family.chosen()
            family.deliver(number, firsts[number])
            return number

        return list(await asyncio.gather(*(member() for _ in range(4))))

    *numbers, one, other = asyncio.run(play())
    assert numbers == [0, 1]
    assert one is other
    assert (one.rollout, one.token) == (1, firsts[1].completions[0].cut)


def test_a_group_that_is_torn_apart_or_succeeded_is_not_branched(toy: Any) -> None:
    async def torn() -> bool:
        family = Family(4, 2, 0.5)
        await asyncio.gather(family.join(), family.join(), family.join())
        return family.branches or family.is_second(2)

    async def right() -> Any:
        family = Family(3, 1, 0.5)
        await asyncio.gather(*(family.join() for _ in range(3)))
        family.deliver(0, toy.rollout(CALLING, "<answer>7</answer>", reward=1.0))
        family.deliver(1, None)
        return await family.chosen()

    assert asyncio.run(torn()) is False
    assert asyncio.run(right()) is None


def test_a_first_attempt_that_breaks_leaves_nobody_waiting() -> None:
    async def broken() -> None:
        family = Family(2, 1, 0.5)
        await asyncio.gather(family.join(), family.join())
        family.give_up(KeyError("a bug"))
        await family.chosen()

    with pytest.raises(KeyError, match="a bug"):
        asyncio.run(broken())
