"""Defines `ToolEnv`, the environment in which a policy calls tools.

An episode is an immutable `EpisodeState`; `ToolEnv.begin` and `ToolEnv.advance` are functions from state to state, and
Gymnasium's `reset` and `step` are thin wrappers that remember the current one. Hence the state is the snapshot, and one
environment serves any number of interleaved episodes. What a turn leads to is decided in `engine._episode_rules`.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Final, Self, cast

import gymnasium
from gymnasium.error import ResetNeeded

from axpo_envs.engine._episode_rules import EpisodeRules
from axpo_envs.engine._vector_worker import in_vector_worker
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.observation import Observation, to_observation, transcript
from axpo_envs.plumbing.printable import printable
from axpo_envs.questions.sources import QuestionSource
from axpo_envs.rendering._moment import Moment
from axpo_envs.rendering.frame import frame_of, message_frame
from axpo_envs.rendering.terminal import show, write
from axpo_envs.snapshot import Snapshot
from axpo_envs.spaces import ImagesSpace, TextSpace
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.types import EpisodeState, Question

if TYPE_CHECKING:
    from axpo_envs.governance import Governance

__all__ = ["Observation", "ToolEnv", "ToolEnvSpec"]

_INFINITE_DRAWS: Final = 2**48
_SEEDS: Final = 2**63 - 1


class ToolEnv(EpisodeRules, gymnasium.Env[Observation, str]):
    """A question, tools to call, and a reward at the end.

    An action is an assistant turn as text, thinking and tags included; any string is one. `advance`, `begin`,
    `opening` and `snapshot_of` change nothing and may be called from several threads, as far as tools and reward may.

    Args:
        spec: what it is made of.
        render_mode: "ansi" renders the current episode as a transcript, "rgb_array" as a frame of one size for every
            episode; "human" writes every new moment to the terminal. Nothing is rendered unless it is asked for.

    Raises:
        EnvConfigError: the render mode is none of these.
    """

    # Gymnasium declares it as an instance variable, which ClassVar may not override.
    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 1}  # noqa: RUF012

    def __init__(self, spec: ToolEnvSpec, *, render_mode: str | None = None) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise EnvConfigError(f"expected render_mode None, 'ansi', 'rgb_array' or 'human'; got {render_mode!r}")
        super().__init__(spec)
        self._state: EpisodeState | None = None
        self._written: EpisodeState | None = None
        self._unbegun: InfrastructureFault | None = None
        self.truncates_faults: bool | None = None
        """Whether `reset` and `step` report an infrastructure fault instead of raising it; None does so in the worker
        processes of Gymnasium's `AsyncVectorEnv`, which would not survive it."""
        self.render_mode = render_mode
        self.action_space = TextSpace()
        self.observation_space = cast(
            "gymnasium.Space[Observation]", gymnasium.spaces.Dict({"text": TextSpace(), "images": ImagesSpace()})
        )

    @property
    def state(self) -> EpisodeState:
        """The current state.

        Raises:
            ResetNeeded: no episode was begun or restored yet.
        """
        if self._state is None:
            raise ResetNeeded(f"{self._rules.env_id}: expected reset() or restore() before anything else")
        return self._state

    def asking(self, questions: QuestionSource) -> Self:
        """A copy that asks other questions by the same rules, with no episode begun.

        Args:
            questions: what it asks, such as a `QuestionSubset` of this environment's.
        """
        other = super().asking(questions)
        other._state = None
        other._np_random = None
        return other

    def governed(self, governance: Governance) -> Self:
        """A copy that acts under a policy and a log, with no episode begun; its snapshots go on under the same policy.

        Args:
            governance: the policy, the phase, and where decisions are recorded.

        Raises:
            EnvConfigError: the policy or the log is unusable.
        """
        other = super().governed(governance)
        other._state = None
        other._np_random = None
        return other

    def snapshot(self) -> Snapshot:
        """The current moment, to return to any number of times; nothing is copied."""
        return self.snapshot_of(self.state)

    def restore(self, snapshot: Snapshot) -> None:
        """Makes a moment the current one: `step` goes on from there.

        Raises:
            SnapshotError: `check` refuses it; the current episode stays.
        """
        self.check(snapshot)
        self._state, self._unbegun = snapshot.state, None
        # A call more would be a tenth of what a restore costs.
        if self.render_mode == "human":
            self._show(back=True)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begins an episode.

        Args:
            seed: makes this and the following draws reproducible.
            options: `{"index": int}` picks a question, `{"question": Question}` gives one; else one is drawn.

        An infrastructure fault that is not raised (see `truncates_faults`) stands in `info["fault"]`; the observation
        is empty, and the next step truncates the episode.

        Raises:
            ValueError, TypeError, IndexError: the options name no question of this environment.
            InfrastructureFault: a tool's machinery failed.
        """
        super().reset(seed=seed)
        question, episode_seed = self._choose(options or {})
        self._state = self._unbegun = None
        try:
            self._state = self.begin(question, seed=episode_seed)
        except InfrastructureFault as fault:
            if not self._reports_faults():
                raise
            self._unbegun = fault
            return to_observation(()), {"fault": str(fault)}
        self._show()
        return self.observe(self._state), self._info()

    def step(self, action: str) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Takes an assistant turn.

        An infrastructure fault that is not raised (see `truncates_faults`) truncates the episode: its text stands in
        `info["fault"]`, and the reward is NaN, for there is none: a trainer that overlooks such an episode is told by
        its loss. The state stays that before the turn, which may be taken once more.

        Raises:
            ResetNeeded: there is no episode, or it has ended.
            InfrastructureFault: a tool's machinery failed; the state before the turn is still good.
        """
        try:
            if self._unbegun is not None:
                raise self._unbegun
            transition = self.advance(self.state, action)
        except InfrastructureFault as fault:
            if not self._reports_faults():
                raise
            return to_observation(()), math.nan, False, True, {"fault": str(fault)}
        self._state = transition.state
        self._show()
        observation = self.observe(self._state)
        return observation, transition.reward, transition.terminated, transition.truncated, self._info()

    def render(self) -> Any:
        """The current episode, as the render mode says: that of a branch is its whole history.

        Returns:
            "ansi": a transcript (str). "rgb_array": a frame, uint8 of shape (720, 1280, 3): the images with the boxes
            that calls looked at, and what was said. "human", which `reset`, `step` and `restore` render by
            themselves: None, and nothing is written twice. Without a render mode: None.

        Raises:
            ResetNeeded: no episode was begun or restored yet.
        """
        if self.render_mode in (None, "human"):
            self._show()
            return None
        if self._unbegun is not None:
            text = f"[fault] {self._unbegun}"
            return printable(text) if self.render_mode == "ansi" else message_frame(self._rules.env_id, text)
        return transcript(self.state) if self.render_mode == "ansi" else frame_of(self._moment_shown())

    def _show(self, *, back: bool = False) -> None:
        if self.render_mode != "human":
            return
        if self._unbegun is not None:
            write(printable(f"[fault] {self._unbegun}\n"), sys.stdout)
        elif self.state is not self._written:
            show(self._moment_shown(), sys.stdout, back=back)
            self._written = self.state

    def _moment_shown(self) -> Moment:
        state = self.state
        return Moment(title=self._rules.env_id, state=state, shown=self.shown_sizes(state), tools=self.tools)

    def _reports_faults(self) -> bool:
        return in_vector_worker() if self.truncates_faults is None else self.truncates_faults

    def _choose(self, options: dict[str, Any]) -> tuple[Question, int]:
        size = self.questions.size
        index = int(self.np_random.integers(_INFINITE_DRAWS if size is None else size))
        episode_seed = int(self.np_random.integers(_SEEDS))
        if unknown := sorted(set(options) - {"index", "question"}):
            raise ValueError(f"expected the options 'index' or 'question'; got {unknown}")
        if "question" in options:
            if not isinstance(options["question"], Question):
                raise TypeError(f"expected the option 'question' to be a Question; got {options['question']!r}")
            return options["question"], episode_seed
        return self.questions.question(int(options.get("index", index))), episode_seed

    def _info(self) -> dict[str, Any]:
        """For people who watch; nothing in it may influence training."""
        state = self.state
        info: dict[str, Any] = {"question": state.question.id, "turns": len(state.turns)}
        if state.stop is not None:
            info |= {"stop": state.stop.value, "answer": state.turns[-1].answer or ""}
            info["terms"] = {term.name: term.value for term in state.terms}
        return info
