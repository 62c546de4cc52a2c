import copy
import gc
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs import ImageRef, ListQuestions, Question, ToolEnv
from axpo_envs.examples import call_turn
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.spaces import ImagesSpace, Mailboxes, TextSpace

MakeEnv = Callable[..., ToolEnv]

TEXTS = ("plain", "größer als\n\t\u2028 前 🙂 \x00", "half \ud83d pair", "", "long " * 50_000)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go during the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    gc.collect()


def image(side: int) -> ImageRef:
    return ImageRef(np.random.default_rng(side).integers(256, size=(side, 2 * side, 3), dtype=np.uint8))


def questions() -> ListQuestions:
    """One question per text, with as many images, of other sizes, as its place."""
    return ListQuestions(
        Question(id=str(n), prompt=(text, *(image(5 * n + k + 1) for k in range(n))), answer="5")
        for n, text in enumerate(TEXTS)
    )


def comparable(observation: Any) -> Any:
    """An observation, single or batched, with its arrays as bytes."""
    if isinstance(observation, dict):
        return {key: comparable(value) for key, value in observation.items()}
    if isinstance(observation, tuple):
        return tuple(comparable(value) for value in observation)
    return (observation.shape, observation.tobytes()) if isinstance(observation, np.ndarray) else observation


ACTIONS = (
    (call_turn("crop", {"size": 3}), "<answer>5</answer>", "¿no sé?"),
    (call_turn("nö", {}), "<answer>5</answer>", call_turn("add", {"a": 1})),
    ("<answer>5</answer>", "<answer>x</answer>", call_turn("crop", {"size": 1})),
    (call_turn("add", {"a": 1}), call_turn("add", {"a": 1}), "<tool_call>"),
)


def run(vector: VectorEnv[Any, Any, Any]) -> list[Any]:
    """Everything a vector environment shows in a few steps."""
    observation, _ = vector.reset(seed=5)
    shown = [comparable(observation)]
    for actions in ACTIONS:
        assert actions in vector.action_space
        observation, rewards, terminated, truncated, infos = vector.step(actions)
        assert observation in vector.observation_space
        ended = comparable(tuple(infos.get("final_obs", ())))
        shown.append((comparable(observation), rewards.tolist(), terminated.tolist(), truncated.tolist(), ended))
    vector.close()
    return shown


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_sync_and_async_show_what_single_environments_show(make_env: MakeEnv, mode: AutoresetMode) -> None:
    def make() -> ToolEnv:
        return make_env(questions=questions(), view=None)

    makers = [make] * 3
    expected = run(SyncVectorEnv(makers, autoreset_mode=mode))
    assert run(AsyncVectorEnv(makers, autoreset_mode=mode)) == expected
    assert run(AsyncVectorEnv(makers, shared_memory=False, autoreset_mode=mode)) == expected
    if mode is AutoresetMode.NEXT_STEP:
        assert run_singly([make() for make in makers]) == expected


def run_singly(envs: list[ToolEnv]) -> list[Any]:
    """The same as `run`, with environments stepped one by one and reset in the step after an episode's end."""
    opening = [env.reset(seed=5 + number)[0] for number, env in enumerate(envs)]
    shown: list[Any] = [_batched(opening)]
    for actions in ACTIONS:
        steps: list[Any] = []
        for env, action in zip(envs, actions, strict=True):
            fresh = env.state.stop is not None
            steps.append((env.reset()[0], 0.0, False, False) if fresh else env.step(action)[:4])
        columns = list(zip(*steps, strict=True))
        shown.append((_batched(list(columns[0])), *(list(column) for column in columns[1:]), ()))
    return shown


def _batched(observations: list[Any]) -> Any:
    return comparable({key: tuple(one[key] for one in observations) for key in ("text", "images")})


@pytest.mark.parametrize("text", TEXTS)
def test_shared_memory_carries_every_text_and_image_exactly(make_env: MakeEnv, text: str) -> None:
    index = TEXTS.index(text)
    vector = AsyncVectorEnv([lambda: make_env(questions=questions(), instructions="")] * 2)
    observation, _ = vector.reset(options={"index": index})
    vector.close()
    # A question's own text is repaired; the space itself carries halves of pairs, too.
    assert observation["text"] == (well_formed(text),) * 2
    assert comparable(observation["images"][1]) == comparable(
        tuple(image(5 * index + k + 1).pixels for k in range(index))
    )


def test_an_observation_kept_by_the_user_does_not_change(make_env: MakeEnv) -> None:
    vector = AsyncVectorEnv([make_env])
    first, _ = vector.reset(options={"index": 0})
    kept = comparable(first)
    vector.step((call_turn("crop", {"size": 2}),))
    vector.close()
    assert comparable(first) == kept


def test_without_copies_the_newest_observation_is_seen_through(make_env: MakeEnv) -> None:
    vector = AsyncVectorEnv([lambda: make_env(instructions="")], copy=False)
    observation, _ = vector.reset(options={"index": 2})
    assert list(observation["text"]) == ["Say yes."]
    vector.step((call_turn("add", {"a": 1}),))
    assert observation["text"][0] == "<tool_response>\n2\n</tool_response>"
    assert observation["text"][-1:] == (observation["text"][0],)
    vector.close()


def test_what_lies_outside_the_space_raises_instead_of_being_cut() -> None:
    space = gymnasium.spaces.Dict({"text": TextSpace(3), "images": ImagesSpace()})
    memory: Any = create_shared_memory(space, n=1)
    good: Any = {"text": "abc", "images": ()}
    write_to_shared_memory(space, 0, good, memory)
    for key, value, message in (
        ("text", "abcd", r"TextSpace\(3\); got 4 characters"),
        ("images", [], r"ImagesSpace\(\); got list"),
    ):
        wrong: Any = {**good, key: value}
        with pytest.raises(ValueError, match=message):
            write_to_shared_memory(space, 0, wrong, memory)
    shown: Any = read_from_shared_memory(space, memory, n=1)
    assert list(shown["text"]) == ["abc"]


def test_mailboxes_leave_nothing_behind(folder: Path) -> None:
    boxes = Mailboxes(2)
    boxes.write(1, ("a", b"b"))
    (made,) = folder.iterdir()
    assert boxes.read(1, None) == ("a", b"b")
    assert boxes.read(0, "empty") == "empty"
    copied = pickle.loads(pickle.dumps(boxes))
    assert copied.read(1, None) == ("a", b"b")
    del copied
    gc.collect()
    assert made.exists()
    del boxes
    gc.collect()
    assert not made.exists()


def test_a_forked_process_does_not_remove_its_parents_mailboxes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = Mailboxes(1)
    boxes.write(0, "kept")
    parent = os.getpid()
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: parent + 1)
        del boxes
        gc.collect()
        (made,) = folder.iterdir()
    assert list(made.iterdir())


@given(st.integers(0, 2**32 - 1))
def test_samples_lie_in_their_space_and_repeat_by_seed(seed: int) -> None:
    for one, other in ((TextSpace(seed=seed), TextSpace(seed=seed)), (ImagesSpace(seed=seed), ImagesSpace(seed=seed))):
        sample = one.sample()
        assert sample in one
        assert comparable(sample) == comparable(other.sample())
    assert TextSpace(3, seed=seed).sample() in TextSpace(3)


@pytest.mark.parametrize(
    "value",
    [
        [np.zeros((1, 1, 3), np.uint8)],
        (np.zeros((1, 1, 3), np.float32),),
        (np.zeros((1, 1, 4), np.uint8),),
        (np.zeros((1, 1), np.uint8),),
        (np.zeros((0, 1, 3), np.uint8),),
        ("image",),
        None,
    ],
)
def test_what_is_no_tuple_of_images_is_outside(value: Any) -> None:
    assert value not in ImagesSpace()


def test_what_is_no_short_enough_text_is_outside() -> None:
    assert "abc" in TextSpace(3)
    assert "abcd" not in TextSpace(3)
    assert b"abc" not in TextSpace(3)
    with pytest.raises(ValueError, match="max_length >= 1"):
        TextSpace(0)


def test_spaces_compare_copy_and_print() -> None:
    assert TextSpace(3) == TextSpace(3) != TextSpace(4)
    assert ImagesSpace() == copy.deepcopy(ImagesSpace()) != TextSpace()
    assert (repr(TextSpace(3)), repr(ImagesSpace())) == ("TextSpace(3)", "ImagesSpace()")
    assert len({TextSpace(3), TextSpace(3), ImagesSpace(), ImagesSpace()}) == 2


def test_samples_survive_json() -> None:
    space = gymnasium.spaces.Dict({"text": TextSpace(), "images": ImagesSpace()}, seed=1)
    samples = [space.sample() for _ in range(5)]
    again = space.from_jsonable(space.to_jsonable(samples))
    assert [comparable(dict(sample)) for sample in again] == [comparable(dict(sample)) for sample in samples]


def test_masks_are_refused() -> None:
    for space in (TextSpace(), ImagesSpace()):
        with pytest.raises(ValueError, match="no mask"):
            space.sample(mask=np.ones(1, np.int8))  # type: ignore[arg-type]
