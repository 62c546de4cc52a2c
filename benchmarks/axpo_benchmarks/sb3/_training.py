"""Defines `train`, one run of an algorithm of stable-baselines3 on a task, and what a `Run` records of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from axpo_benchmarks.sb3._features import AskedFeatures
from axpo_benchmarks.sb3._tasks import Task, episodes_of
from axpo_envs.adapters.sb3 import FixedSpaces

ALGORITHMS: Final[dict[str, Any]] = {"ppo": PPO, "maskable": MaskablePPO, "recurrent": RecurrentPPO}
"""By name."""

_AT_A_TIME: Final = 16
_WINDOW: Final = 1000
_SETTINGS: Final[dict[str, Any]] = {
    "n_steps": 128,
    "batch_size": 128,
    "n_epochs": 4,
    "learning_rate": 1e-3,
    "gamma": 1.0,
    "gae_lambda": 0.95,
    "ent_coef": 0.02,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A moment of training."""

    steps: int
    """Steps of the environment so far."""
    seconds: float
    """Wall-clock seconds so far."""
    success: float
    """Share of the last 1,000 episodes that succeeded, as the policy sampled them."""
    turns: float
    """Their mean number of turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How often a policy succeeds on held-out questions."""

    success: float
    """Share of episodes."""
    tool_calls: float
    """Mean calls of tools in an episode."""
    episodes: int
    """How many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of one training."""

    floor: Score
    """Actions drawn uniformly."""
    trained: Score
    """The policy's likeliest actions."""
    curve: tuple[Point, ...]
    """The way there."""
    seconds: float
    """Wall-clock seconds of training."""
    cpu_seconds: float
    """Processor seconds of training, all threads."""
    settings: dict[str, Any]
    """Of the algorithm."""


def train(
    task: Task, algorithm: str, *, steps: int, seed: int, episodes: int, doing: Callable[[str], object] = str
) -> Run:
    """Trains and scores a policy.

    Args:
        task: what is trained on.
        algorithm: one of `ALGORITHMS`.
        steps: steps of the environment.
        seed: seeds everything.
        episodes: held-out episodes for each score.
        doing: is told how far it is.
    """
    settings = {**_SETTINGS, **task.settings}
    floor = score(task, None, episodes=episodes, seed=seed)
    env = VecMonitor(DummyVecEnv([_giving(one) for one in episodes_of(task, "train", _AT_A_TIME)]))
    kind = "MultiInputLstmPolicy" if algorithm == "recurrent" else "MultiInputPolicy"
    model = ALGORITHMS[algorithm](
        kind,
        env,
        policy_kwargs={"features_extractor_class": AskedFeatures, "net_arch": []},
        seed=seed,
        device="cpu",
        **settings,
    )
    curve = _Curve(steps, doing)
    began, cpu_began = time.perf_counter(), time.process_time()
    model.learn(steps, callback=curve)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    trained = score(task, model, episodes=episodes, seed=seed)
    return Run(
        floor=floor,
        trained=trained,
        curve=tuple(curve.points),
        seconds=round(seconds, 1),
        cpu_seconds=round(cpu_seconds, 1),
        settings=settings,
    )


def score(task: Task, model: Any, *, episodes: int, seed: int) -> Score:
    """Plays the first held-out questions, each once.

    Args:
        task: what is played.
        model: a trained model, whose likeliest actions are taken; None draws uniformly.
        episodes: how many questions.
        seed: seeds uniform actions.
    """
    env = task.wrapped(task.make("validation"))
    env.action_space.seed(seed)
    rewards, calls = [], []
    for index in range(episodes):
        observation, _ = env.reset(seed=index, options={"index": index})
        memory, over, reward = None, False, 0.0
        while not over:
            action, memory = _act(model, env, observation, memory)
            observation, reward, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
        rewards.append(reward >= 1)
        calls.append(sum(len(turn.calls) for turn in env.snapshot().state.turns))
    return Score(success=float(np.mean(rewards)), tool_calls=float(np.mean(calls)), episodes=episodes)


def _act(model: Any, env: FixedSpaces, observation: Any, memory: Any) -> tuple[Any, Any]:
    if model is None:
        return env.action_space.sample(), None
    known: dict[str, Any] = {}
    if isinstance(model, MaskablePPO):
        known = {"action_masks": env.action_masks()}
    elif isinstance(model, RecurrentPPO):
        known = {"state": memory, "episode_start": np.array([memory is None])}
    action, memory = model.predict(observation, deterministic=True, **known)
    return action, memory


def _giving(env: Any) -> Any:
    return lambda: env


class _Curve(BaseCallback):
    """Records a point after every round of steps."""

    def __init__(self, steps: int, doing: Callable[[str], object]) -> None:
        super().__init__()
        self._steps = steps
        self._doing = doing
        self.points: list[Point] = []
        self._succeeded: deque[bool] = deque(maxlen=_WINDOW)
        self._turns: deque[int] = deque(maxlen=_WINDOW)
        self._began = time.perf_counter()

    def _on_training_start(self) -> None:
        self._began = time.perf_counter()

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "is_success" in info:
                self._succeeded.append(info["is_success"])
                self._turns.append(info["turns"])
        return True

    def _on_rollout_end(self) -> None:
        if self._succeeded:
            self.points.append(
                Point(
                    steps=self.num_timesteps,
                    seconds=round(time.perf_counter() - self._began, 1),
                    success=round(float(np.mean(self._succeeded)), 4),
                    turns=round(float(np.mean(self._turns)), 3),
                )
            )
            self._doing(f"{self.num_timesteps} of {self._steps} steps, success {self.points[-1].success:.3f}")
