"""Defines `FixedSpaces`, a tool environment with observations of fixed size and turns that are chosen by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from axpo_envs.adapters.sb3._choices import Answers, Calls, Choices, Mask
from axpo_envs.adapters.sb3._text_features import TextFeatures
from axpo_envs.adapters.sb3._zoom_grid import WHOLE, ZoomGrid, zoom_of, zoom_tool_of
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.imaging.coordinates import PixelBox
from axpo_envs.observation import Observation
from axpo_envs.snapshot import Snapshot
from axpo_envs.tools.image_zoom_in import ImageZoomIn, crop_to_view
from axpo_envs.types import EpisodeState

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
Action: TypeAlias = "int | npt.NDArray[np.int64]"

_SMALLEST_IMAGE: Final = 36


class FixedSpaces(gymnasium.Wrapper[Arrays, Any, Observation, str], gymnasium.utils.RecordConstructorArgs):
    """What stable-baselines3 and other trainers of arrays need: `Dict`, `Box` and `Discrete` spaces.

    An observation is a function of the episode's state, so that it is exact after a `restore`, too:

    | key | space | holds |
    |---|---|---|
    | `image` | uint8 (S, S, 3) | the newest image, the question's or a tool's, on mid grey; grey alone without one |
    | `zoom` | float32 (4,) | which region of the question's first image that is: left, top, right, bottom, 0 to 1 |
    | `question` | float32 (F,) | the words of the question |
    | `result` | float32 (F,) | the words of the newest tool results |
    | `turn` | float32 (1,) | turns taken, as a share of those that there may be |

    `image` and `zoom` are there where `image_size` is given. `info["is_success"]` of the last step, which SB3 logs,
    says whether the reward is at least 1.

    An episode that runs out of turns is `terminated` here: it was scored, and the turns that were left could be seen.
    SB3 would add to the reward of one that is `truncated` what it expects of the turns after, and so teach a policy to
    run out of turns.

    Args:
        env: a `ToolEnv`, wrapped or not.
        answers: the answers to choose from (see `Answers`).
        choices: further choices; by default a `ZoomGrid` of the zoom tool, and every call of the others that their
            schemas allow.
        image_size: side S in pixels, at least 36 as SB3 wants it; None leaves images out.
        text: how texts become arrays; 64 hashed words by default.
        actions: `discrete` numbers all choices through, answers last; `multi` is a `MultiDiscrete` whose first number
            picks the kind and whose others pick among each kind's choices.

    Raises:
        TypeError: it is no ToolEnv.
        EnvConfigError: the arguments cannot work, or a tool has endless calls.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        answers: Sequence[str],
        choices: Sequence[Choices] | None = None,
        image_size: int | None = 64,
        text: TextFeatures | None = None,
        actions: Literal["discrete", "multi"] = "discrete",
    ) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(
            self, answers=answers, choices=choices, image_size=image_size, text=text, actions=actions
        )
        gymnasium.Wrapper.__init__(self, env)
        if not isinstance(env.unwrapped, ToolEnv):
            raise TypeError(f"expected a ToolEnv; got {type(env.unwrapped).__name__}")
        if image_size is not None and image_size < _SMALLEST_IMAGE:
            raise EnvConfigError(f"image_size: expected None or at least {_SMALLEST_IMAGE} pixels; got {image_size}")
        if actions not in ("discrete", "multi"):
            raise EnvConfigError(f"actions: expected 'discrete' or 'multi'; got {actions!r}")
        self._tool_env: Final[ToolEnv] = env.unwrapped
        self._zoom_tool = zoom_tool_of(self._tool_env)
        self._choices = (*(_default_choices(self._tool_env) if choices is None else choices), Answers(answers))
        self._image_size = image_size
        self._begun = True
        self._text = text if text is not None else TextFeatures()
        sizes = [len(kind) for kind in self._choices]
        self._multi = actions == "multi"
        self.action_space: Any = (
            spaces.MultiDiscrete([len(sizes), *sizes]) if self._multi else spaces.Discrete(sum(sizes))
        )
        self.observation_space: Any = self._space()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Arrays, dict[str, Any]]:
        """Begins an episode."""
        _, info = self.env.reset(seed=seed, options=options)
        self._begun = "fault" not in info
        return self.observe() if self._begun else self._blank(), info

    def step(self, action: Action) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Takes the turn of that number."""
        # An episode that a fault kept from beginning is told of it by its first step, whatever that is.
        _, reward, terminated, truncated, info = self.env.step(self.turn_of(action) if self._begun else "")
        if "fault" in info:
            return self._blank(), float(reward), terminated, truncated, info
        if truncated and self._tool_env.state.stop is not None:
            terminated, truncated = True, False
        if terminated or truncated:
            info = {**info, "is_success": float(reward) >= 1}
        return self.observe(), float(reward), terminated, truncated, info

    def turn_of(self, action: Action) -> str:
        """What an action says, as text."""
        if self._multi:
            numbers = np.asarray(action)
            kind, index = int(numbers[0]), int(numbers[1 + int(numbers[0])])
        else:
            kind, index = self._kind_of(int(action))
        return self._choices[kind].turn(index, self._tool_env.state)

    def action_masks(self) -> Mask:
        """Which actions make sense now, as sb3-contrib's `MaskablePPO` asks for them.

        Calls are left out once no turn may call a tool. Bool of shape (n,), or of the sum of a `MultiDiscrete`'s sizes.
        """
        if not self._begun:
            return np.ones(int(np.sum(self.action_space.nvec)) if self._multi else self.action_space.n, np.bool_)
        state = self._tool_env.state
        calls = len(state.turns) < self._tool_env.rules.max_turns
        masks = [kind.allowed(state) & (calls or not kind.calls_tool) for kind in self._choices]
        if not self._multi:
            return np.concatenate(masks)
        kinds = np.array([mask.any() for mask in masks], np.bool_)
        # Of a kind that is not allowed the number does not matter, and some number must be.
        return np.concatenate([kinds, *(mask if mask.any() else ~mask for mask in masks)])

    def observe(self) -> Arrays:
        """The observation of the current state, also after a `restore`."""
        env = self._tool_env
        state = env.state
        result = "".join(part for part in state.turns[-1].observation if isinstance(part, str)) if state.turns else ""
        turn = min(1.0, len(state.turns) / (env.rules.max_turns + 1))
        arrays: Arrays = {
            "question": self._text(state.question.text),
            "result": self._text(result),
            "turn": np.array([turn], np.float32),
        }
        if self._image_size is None:
            return arrays
        zoom = zoom_of(state, self._zoom_tool, env.rules.view_size) if self._zoom_tool is not None else WHOLE
        image = _fitted(self._newest_image(state), self._image_size)
        return {"image": image, "zoom": np.array(zoom or WHOLE, np.float32).clip(0, 1), **arrays}

    def snapshot(self) -> Snapshot:
        """The current moment of the environment within."""
        return self._tool_env.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Makes a moment the current one; `observe` shows it.

        Raises:
            SnapshotError: it is of another environment.
        """
        self._tool_env.restore(snapshot)
        self._begun = True

    def _kind_of(self, number: int) -> tuple[int, int]:
        for kind, choices in enumerate(self._choices):
            if number < len(choices):
                return kind, number
            number -= len(choices)
        raise ValueError(f"expected an action below {self.action_space.n}; it is {number} too high")

    def _newest_image(self, state: EpisodeState) -> ImageRef | None:
        observed = [part for turn in state.turns for part in turn.observation if isinstance(part, ImageRef)]
        if observed:
            return observed[-1]
        opening = [part for part in self._tool_env.opening(state) if isinstance(part, ImageRef)]
        return opening[0] if opening else None

    def _space(self) -> spaces.Dict:
        features = spaces.Box(0.0, 1.0, (self._text.size,), np.float32)
        held: dict[str, spaces.Space[Any]] = {
            "question": features,
            "result": features,
            "turn": spaces.Box(0.0, 1.0, (1,), np.float32),
        }
        if self._image_size is not None:
            held["image"] = spaces.Box(0, 255, (self._image_size, self._image_size, 3), np.uint8)
            held["zoom"] = spaces.Box(0.0, 1.0, (4,), np.float32)
        return spaces.Dict(held)

    def _blank(self) -> Arrays:
        """What is seen of an episode that did not begin."""
        return {key: np.zeros(space.shape or (), space.dtype) for key, space in self.observation_space.spaces.items()}


def _default_choices(env: ToolEnv) -> tuple[Choices, ...]:
    return tuple(ZoomGrid(env) if isinstance(tool, ImageZoomIn) else Calls.of_schema(tool) for tool in env.tools)


def _fitted(image: ImageRef | None, side: int) -> npt.NDArray[np.uint8]:
    """An image fitted into a square, a fresh uint8 array (side, side, 3)."""
    if image is None:
        return np.full((side, side, 3), 128, np.uint8)
    if image.size == (side, side):
        return image.pixels.copy()
    return crop_to_view(image, PixelBox(0, 0, *image.size), side).pixels.copy()
