"""Tests of replay: what is kept, for how long, what it is worth later, and that a resumed run remembers the same."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import axpo
from axpo.algorithm.advantages import compute_advantages
from axpo.algorithm.batching import build_batch
from axpo.algorithm.methods import method_named
from axpo.algorithm.replay import Kept, Remembered, ReplayMemory, recalled, remembered, replay_weight
from axpo.algorithm.types import Advantage, Branch, BranchPoint, Group
from axpo.run._checkpoint import Checkpoint, CheckpointError, Progress
from axpo.run.display import Silent
from axpo.settings.config import AdvantageConfig, Aggregation, LossConfig, OptimConfig, ReplayConfig, TrainConfig

TOOL = "<think>t</think><tool_call>{}</tool_call>"
CUT = 4
"""Tokens up to the tag that opens the call."""
AT_ONCE = ReplayConfig(steps=10, warmup_steps=0)


def group_of(toy: SimpleNamespace, rewards: tuple[float, ...], *grown: float) -> Group:
    """Rollouts with these rewards; from the first grow continuations with those."""
    rollouts = tuple(toy.rollout(TOOL, "<answer>1</answer>", reward=reward) for reward in rewards)
    point = BranchPoint(
        group=0, rollout=0, turn=0, token=CUT, confidence=0.5, snapshot=rollouts[0].snapshots[0], continuations=4
    )
    continuations = tuple(toy.rollout(TOOL, "<answer>2</answer>", reward=reward, forced=CUT) for reward in grown)
    branches = (Branch(point=point, continuations=continuations),) if grown else ()
    return Group(question=toy.question(), rollouts=rollouts, branches=branches)


def after(content: Remembered, groups: list[Group], step: int, config: ReplayConfig = AT_ONCE) -> Remembered:
    return remembered(content, groups, compute_advantages(groups, AdvantageConfig()), step, config)


def test_continuations_that_beat_their_siblings_are_kept_from_the_cut_on(toy: SimpleNamespace) -> None:
    group = group_of(toy, (0.0, 0.0, 0.0, 1.0), 0.0, 1.0, 0.0, 1.0)
    content = after(Remembered(), [group], 3)
    assert [(kept.step, kept.reward) for kept in content.kept] == [(3, 1.0), (3, 1.0)]
    assert content.baselines == ((3, 0.25),)
    item = content.kept[0].item
    assert item.trained[: CUT + 1] == (False,) * CUT + (True,)
    assert item.sequence == group.branches[0].continuations[1].sequence()


def test_neither_rollouts_nor_siblings_that_all_recovered_are_kept(toy: SimpleNamespace) -> None:
    groups = [group_of(toy, (0.0, 1.0)), group_of(toy, (0.0, 0.0), 1.0, 1.0), group_of(toy, (0.0, 0.0), 0.0, 0.0)]
    content = after(Remembered(), groups, 1)
    assert content.kept == ()
    assert [mean for _, mean in content.baselines] == [0.5, 0.0, 0.0]


def test_what_is_kept_serves_so_many_steps_and_no_more(toy: SimpleNamespace) -> None:
    config = replace(AT_ONCE, steps=2)
    content = after(Remembered(), [group_of(toy, (0.0, 0.0), 0.0, 1.0)], 5, config)
    served = []
    for step in (6, 7, 8):
        served.append(len(recalled(content, step, config)))
        content = after(content, [group_of(toy, (0.0, 0.0))], step, config)
    assert served == [1, 1, 0]
    assert content.kept == ()
    assert [step for step, _ in content.baselines] == [7, 8]


def kept(toy: SimpleNamespace, step: int, reward: float = 1.0) -> Kept:
    (one, *_) = after(Remembered(), [group_of(toy, (0.0, 0.0), 0.0, 1.0)], step).kept
    return replace(one, reward=reward)


def test_the_advantage_is_what_is_above_the_median_of_the_means(toy: SimpleNamespace) -> None:
    content = Remembered(
        kept=(kept(toy, 1), kept(toy, 2, 0.25), kept(toy, 2, 0.5)), baselines=((1, 0.0), (1, 0.5), (2, 0.25))
    )
    assert [item.advantage for item in recalled(content, 3, AT_ONCE)] == [0.25, 0.75]
    later = replace(content, baselines=(*content.baselines, *[(3, 1.0)] * 4))
    assert recalled(later, 4, AT_ONCE) == (), "of what the policy does anyway nothing is to be learned"
    assert recalled(Remembered(), 1, AT_ONCE) == ()


def test_the_newest_are_replayed_first(toy: SimpleNamespace) -> None:
    content = Remembered(kept=tuple(kept(toy, step, step / 8) for step in (1, 2, 3, 4)), baselines=((4, 0.0),))
    found = recalled(content, 5, replace(AT_ONCE, most=2))
    assert [item.advantage for item in found] == [4 / 8, 3 / 8]


def test_the_weight_rises_along_half_a_cosine() -> None:
    config = ReplayConfig(steps=10, weight=2.0, warmup_steps=4)
    weights = [replay_weight(config, step) for step in (1, 2, 3, 4, 100)]
    assert weights == pytest.approx([2 * 0.1464466, 1.0, 2 * 0.8535534, 2.0, 2.0])


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        (Aggregation.TOKEN_MEAN, (1 / 3, 0.5 / 3, 0.5 / 3)),
        (Aggregation.SEQUENCE_MEAN, (1 / 3, 0.5 / (1 * 2), 0.5 / (2 * 2))),
        (Aggregation.SEQUENCE_SUM, (1 / 1024, 0.5 / (1024 * 2), 0.5 / (1024 * 2))),
    ],
)
def test_replayed_tokens_have_a_mean_of_their_own(
    toy: SimpleNamespace, aggregation: Aggregation, expected: tuple[float, ...]
) -> None:
    def advantage(turn: str, group: int = 0) -> Advantage:
        rollout = toy.rollout(turn)
        return Advantage(rollout=rollout, value=1.0, start=2, stop=len(rollout.sequence().ids), group=group)

    loss, optim = LossConfig(kl=0.0, aggregation=aggregation), OptimConfig(minibatches=1)
    old = [advantage("a"), advantage("bc")]
    (batch,) = build_batch(old, loss, optim, seed=0)
    items = [replace(item, weight=0.5) for part in batch.micro_batches for item in part]
    (fresh,) = build_batch([advantage("abc")], loss, optim, seed=0)
    (both,) = build_batch([advantage("abc")], loss, optim, seed=0, replayed=items)
    found = [item for part in both.micro_batches for item in part]
    by_length = {len(item.trained): item for item in found}
    assert tuple(by_length[length].weight for length in (3, 1, 2)) == pytest.approx(expected)
    assert by_length[3] == fresh.micro_batches[0][0], "what a step learns of itself stays what it is"
    assert both.trained_tokens == fresh.trained_tokens == 3


def test_a_memory_is_read_back_to_the_bit_and_damage_is_noticed(toy: SimpleNamespace) -> None:
    content = after(Remembered(), [group_of(toy, (0.0, 1.0, 1.0), 0.0, 1.0)], 1)
    data = ReplayMemory(content).to_bytes()
    assert ReplayMemory.from_bytes(data).content == content
    for other in (data[:-1], b"", data.replace(b"AXPO-REPLAY-1", b"AXPO-REPLAY-0")):
        with pytest.raises(ValueError, match=r"."):
            ReplayMemory.from_bytes(other)


@pytest.fixture
def toy_env(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


def test_a_resumed_run_replays_what_an_uninterrupted_one_does(toy_env: Any, tmp_path: Path) -> None:
    settings = {"method": "axpo_replay", "replay": ReplayConfig(warmup_steps=0), "log": {"checkpoint_every": 2}}
    straight = axpo.train(toy_env.toy_config(tmp_path / "run", steps=3, **settings), display=Silent())
    assert straight.metrics[2]["replayed_continuations"] > 0
    files = [straight.checkpoint / name for name in ("model.safetensors", "replay.bin")]
    written = [file.read_bytes() for file in files]
    shutil.rmtree(straight.checkpoint)
    resumed = axpo.resume(tmp_path / "run", display=Silent())
    assert toy_env.timeless(resumed.metrics) == toy_env.timeless(straight.metrics)
    assert [file.read_bytes() for file in files] == written


def test_a_memory_of_another_version_is_named(tmp_path: Path) -> None:
    checkpoint = Checkpoint(folder=tmp_path, progress=Progress())
    assert checkpoint.memory().content == Remembered()
    (tmp_path / "replay.bin").write_bytes(b"AXPO-REPLAY-0\n")
    with pytest.raises(CheckpointError, match=r"replay\.bin: cannot be read"):
        checkpoint.memory()


def test_axpo_replays_nothing_unless_asked() -> None:
    assert TrainConfig().replay.steps == 0
    assert method_named("axpo_replay").configure(TrainConfig()).replay.steps == 10
