from __future__ import annotations

import pickle
import random
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo.algorithm.buffer import BufferSettings, GroupBuffer, Slot
from axpo.algorithm.types import Branch, BranchPoint, Group

DIRECT = "<answer>1</answer>"


def aged(rollout, version):
    turns = tuple(replace(turn, policy_version=version) for turn in rollout.completions)
    return replace(rollout, completions=turns)


def test_a_group_is_ready_when_its_last_episode_has_arrived(toy):
    buffer = GroupBuffer()
    question = toy.question()
    slots = buffer.open(question, 3)
    rollouts = [toy.rollout(DIRECT, reward=reward) for reward in (0.0, 1.0, 0.5)]
    for place in (2, 0):
        assert buffer.deliver(slots[place], rollouts[place])
    assert buffer.ready == 0
    assert buffer.wanted() == (slots[1],)
    assert buffer.deliver(slots[1], rollouts[1])
    assert buffer.ready == 1
    assert buffer.wanted() == ()
    assert buffer.take(1) == (Group(question=question, rollouts=tuple(rollouts)),)
    assert buffer.ready == 0


def test_groups_are_handed_out_in_the_order_of_their_opening(toy):
    buffer = GroupBuffer()
    first, second, third = (buffer.open(toy.question(number), 1)[0] for number in range(3))
    for slot in (third, first):
        buffer.deliver(slot, toy.rollout(DIRECT))
    assert [group.question.id for group in buffer.take(2)] == ["q0", "q2"]
    buffer.add([Group(question=toy.question(9), rollouts=(toy.rollout(DIRECT),))])
    buffer.deliver(second, toy.rollout(DIRECT))
    assert [group.question.id for group in buffer.take(2)] == ["q1", "q9"]


def test_taking_more_than_is_ready_takes_nothing(toy):
    buffer = GroupBuffer()
    buffer.add([Group(question=toy.question(), rollouts=(toy.rollout(DIRECT),))])
    with pytest.raises(LookupError, match="expected 2 ready groups; there are 1"):
        buffer.take(2)
    assert len(buffer.take(1)) == 1


def test_a_lost_episode_is_wanted_again_until_its_retries_are_spent_and_then_the_group_shrinks(toy):
    buffer = GroupBuffer(BufferSettings(fault_retries=2))
    kept, lost = buffer.open(toy.question(), 2)
    buffer.deliver(kept, toy.rollout(DIRECT, reward=1.0))
    assert [buffer.lose(lost) for _ in range(3)] == [True, True, False]
    (group,) = buffer.take(1)
    assert [rollout.reward for rollout in group.rollouts] == [1.0]
    assert buffer.dropped_faulty == 0


@pytest.mark.parametrize(("min_size", "handed_out"), [(0, 1), (1, 0), (2, 0)])
def test_a_group_with_too_few_episodes_left_is_dropped(toy, min_size, handed_out):
    buffer = GroupBuffer(BufferSettings(fault_retries=0, min_size=min_size))
    for slot in buffer.open(toy.question(), 2):
        assert not buffer.lose(slot)
    assert buffer.ready == handed_out
    assert buffer.dropped_faulty == 1 - handed_out
    assert buffer.wanted() == ()


def test_an_episode_that_arrives_after_its_replacement_is_not_used(toy):
    buffer = GroupBuffer()
    slot, other = buffer.open(toy.question(), 2)
    assert buffer.lose(slot)
    assert buffer.deliver(slot, toy.rollout(DIRECT, reward=1.0))
    assert not buffer.deliver(slot, toy.rollout(DIRECT))
    assert not buffer.lose(slot)
    assert buffer.deliver(other, toy.rollout(DIRECT))
    assert not buffer.deliver(other, toy.rollout(DIRECT))
    (group,) = buffer.take(1)
    assert [rollout.reward for rollout in group.rollouts] == [1.0, 0.0]
    assert not buffer.deliver(slot, toy.rollout(DIRECT))


def test_unknown_slots_and_empty_groups_are_refused(toy):
    buffer = GroupBuffer()
    buffer.open(toy.question(), 1)
    for slot in (Slot(ticket=1, index=0), Slot(ticket=0, index=1), Slot(ticket=-1, index=0)):
        with pytest.raises(KeyError, match="expected a slot that was opened"):
            buffer.deliver(slot, toy.rollout(DIRECT))
    with pytest.raises(ValueError, match="at least one episode; got 0 for question 'q0'"):
        buffer.open(toy.question(), 0)


def test_stale_groups_are_dropped_when_groups_are_handed_out(toy):
    buffer = GroupBuffer(BufferSettings(max_staleness=1))
    fresh, old = toy.rollout(DIRECT), aged(toy.rollout(DIRECT), 3)
    buffer.add([Group(question=toy.question(0), rollouts=(aged(fresh, 5), old))])
    buffer.add([Group(question=toy.question(1), rollouts=(aged(fresh, 4),))])
    buffer.advance(4)
    assert buffer.ready == 2
    buffer.advance(5)
    assert [group.question.id for group in buffer.take(1)] == ["q1"]
    assert (buffer.ready, buffer.dropped_stale, buffer.version) == (0, 1, 5)
    with pytest.raises(ValueError, match="at least 5; got 4"):
        buffer.advance(4)


def test_continuations_age_their_group_and_agents_without_tokens_never_do(toy):
    buffer = GroupBuffer(BufferSettings(max_staleness=0))
    source = aged(toy.rollout(DIRECT), 7)
    point = BranchPoint(group=0, rollout=0, turn=0, token=1, confidence=0.5, snapshot=source.snapshots[0])
    branch = Branch(point=point, continuations=(aged(source, 6),))
    textual = replace(source, completions=())
    buffer.add([Group(question=toy.question(), rollouts=(source,), branches=(branch,))])
    buffer.add([Group(question=toy.question(1), rollouts=(textual,))])
    buffer.advance(7)
    assert [group.question.id for group in buffer.take(1)] == ["q1"]
    assert buffer.dropped_stale == 1


def test_a_restored_buffer_goes_on_where_the_saved_one_stood(toy):
    buffer = GroupBuffer(BufferSettings(fault_retries=1, max_staleness=3))
    buffer.advance(2)
    first = buffer.open(toy.question(0), 2)
    second = buffer.open(toy.question(1), 1)
    buffer.deliver(first[1], toy.rollout(DIRECT, reward=1.0))
    buffer.lose(first[0])
    buffer.deliver(second[0], toy.rollout(DIRECT))
    restored = GroupBuffer.from_bytes(buffer.to_bytes())
    for each in (buffer, restored):
        assert each.settings == BufferSettings(fault_retries=1, max_staleness=3)
        assert (each.version, each.ready, each.wanted()) == (2, 1, (first[0],))
        assert not each.lose(first[0])  # the second loss is one too many
    assert restored.take(2) == buffer.take(2)
    assert restored.open(toy.question(), 1) == buffer.open(toy.question(), 1)


def test_damaged_bytes_are_refused(toy):
    buffer = GroupBuffer()
    buffer.open(toy.question(), 2)
    data = buffer.to_bytes()
    with pytest.raises(ValueError, match="the checksum does not match"):
        GroupBuffer.from_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ValueError, match="begin with AXPO-GROUP-BUFFER-2; got 4 bytes"):
        GroupBuffer.from_bytes(b"junk")


def test_a_buffer_is_read_without_executing_it_and_sealed_with_a_key(toy, tmp_path):
    class Attack:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    with pytest.raises(ValueError):
        GroupBuffer.from_bytes(b"AXPO-GROUP-BUFFER-1\n" + bytes(16) + pickle.dumps(Attack()))
    assert not (tmp_path / "ran").exists()
    buffer = GroupBuffer()
    buffer.open(toy.question(), 2)
    assert b"pickle" not in buffer.to_bytes()
    data = buffer.to_bytes(key=b"sixteen bytes or more")
    assert GroupBuffer.from_bytes(data, key=b"sixteen bytes or more").wanted() == buffer.wanted()
    with pytest.raises(ValueError, match="need a key"):
        GroupBuffer.from_bytes(data)


@settings(max_examples=50)
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=st.integers(0, 10**6))
def test_any_order_of_arrivals_losses_and_restarts_gives_the_same_groups(toy, sizes, seed):
    rng = random.Random(seed)
    buffer = GroupBuffer(BufferSettings(fault_retries=10**6))
    slots = [slot for number, size in enumerate(sizes) for slot in buffer.open(toy.question(number), size)]
    rollouts = {slot: toy.rollout(DIRECT, reward=float(place)) for place, slot in enumerate(slots)}
    while wanted := buffer.wanted():
        slot = rng.choice(wanted)
        action = rng.choice(["deliver", "deliver", "lose", "restart"])
        if action == "deliver":
            assert buffer.deliver(slot, rollouts[slot])
        elif action == "lose":
            assert buffer.lose(slot)
        else:
            buffer = GroupBuffer.from_bytes(buffer.to_bytes())
    groups = buffer.take(len(sizes))
    assert [group.question.id for group in groups] == [f"q{number}" for number in range(len(sizes))]
    assert [rollout for group in groups for rollout in group.rollouts] == [rollouts[slot] for slot in slots]


def test_threads_deliver_every_episode_exactly_once(toy):
    buffer = GroupBuffer()
    rollout = toy.rollout(DIRECT)
    slots = [slot for number in range(50) for slot in buffer.open(toy.question(number), 4)]
    used: list[bool] = []

    def work(seed: int) -> None:
        mine = random.Random(seed).sample(slots, len(slots))
        used.extend([buffer.deliver(slot, rollout) for slot in mine])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sum(used), len(used)) == (200, 800)
    assert buffer.ready == 50
