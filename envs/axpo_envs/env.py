"""Defines `ToolEnv`, the environment in which a policy calls tools.

An episode is an immutable `EpisodeState`; `ToolEnv.begin` and `ToolEnv.advance` are functions from state to state, and
Gymnasium's `reset` and `step` are thin wrappers that remember the current one. Hence the state is the snapshot, and one
environment serves any number of interleaved episodes.

How an episode ends, with T = `max_turns`:

| turn | stop | executed | scored as |
|---|---|---|---|
| calls tools, after fewer than T such turns | (goes on) | yes | |
| calls tools, after T such turns | `MAX_TURNS` (truncated) | no; recorded as `OVER_LIMIT` | no answer |
| no call, an answer | `ANSWERED` (terminated) | | the answer |
| no call, no answer | `NO_ANSWER` (terminated) | | no answer |
| cut off by a token limit | `MAX_TOKENS` (truncated) | no; calls recorded all the same | no answer |
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, Self, cast

import gymnasium
from gymnasium.error import ResetNeeded

from axpo_envs.digest import next_digest, opening_digest
from axpo_envs.errors import EnvConfigError, InfrastructureFault, SnapshotError
from axpo_envs.execution import Executor
from axpo_envs.images import Size
from axpo_envs.observation import Observation, join_results, to_observation, transcript, wrap_results
from axpo_envs.parsing import ParsedTurn, parse_turn
from axpo_envs.questions import QuestionSource
from axpo_envs.rewards import score
from axpo_envs.showing import Showing
from axpo_envs.snapshot import SCHEMA_VERSION, Snapshot
from axpo_envs.spaces import ImagesSpace, TextSpace
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.tags import RESPONSE_TAGS, quote_parts
from axpo_envs.toolbox import Toolbox
from axpo_envs.tools.tool import Tool
from axpo_envs.types import CallRecord, EpisodeState, Parts, Question, StopReason, Transition, Turn
from axpo_envs.vector_worker import in_vector_worker

__all__ = ["Observation", "ToolEnv", "ToolEnvSpec"]

_INFINITE_DRAWS: Final = 2**48
_SEEDS: Final = 2**63 - 1


class ToolEnv(gymnasium.Env[Observation, str]):
    """A question, tools to call, and a reward at the end.

    An action is an assistant turn as text, thinking and tags included; any string is one. `advance`, `begin`,
    `opening` and `snapshot_of` change nothing and may be called from several threads, as far as tools and reward may.

    Args:
        spec: what it is made of.
        render_mode: "ansi" renders the current episode as a transcript.
    """

    # Gymnasium declares it as an instance variable, which ClassVar may not override.
    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012

    def __init__(self, spec: ToolEnvSpec, *, render_mode: str | None = None) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise EnvConfigError(f"expected render_mode None or 'ansi'; got {render_mode!r}")
        self._showing = Showing(
            view_size=spec.view_size,
            result_view_size=spec.result_view_size,
            view=spec.view,
            background=spec.background,
        )
        self._executor = Executor(
            toolbox=Toolbox(spec.tools),
            max_calls=spec.max_calls_per_turn,
            showing=self._showing,
            gate=spec.gate,
            audit=spec.audit,
        )
        self._rules = spec
        self._fingerprint = spec.fingerprint
        self._state: EpisodeState | None = None
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
    def rules(self) -> ToolEnvSpec:
        """What the environment is made of (`spec` is Gymnasium's own record)."""
        return self._rules

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools, in the order shown."""
        return self._rules.tools

    @property
    def instructions(self) -> str:
        """How to act and answer."""
        return self._rules.instructions

    @property
    def questions(self) -> QuestionSource:
        """Where questions come from."""
        return self._rules.questions

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
        other = copy.copy(self)
        other._rules = replace(self._rules, questions=questions)
        other._state = None
        other._np_random = None
        return other

    def begin(self, question: Question, *, seed: int = 0) -> EpisodeState:
        """The first state of an episode.

        Args:
            question: one of this environment's questions, or one without source, which is adopted.
            seed: seeds the randomness of its tools.

        Raises:
            ValueError: the question comes from another source; its snapshots could not be restored here.
        """
        source = self.questions.fingerprint
        if question.source != source:
            if question.source:
                raise ValueError(f"question {question.id!r}: expected source {source!r}; got {question.source!r}")
            question = replace(question, source=source)
        return EpisodeState(
            question=question,
            seed=int(seed),
            tool_states=self._executor.toolbox.initial_states(question),
            digest=opening_digest(self._rules.env_id, question, int(seed)),
        )

    def opening(self, state: EpisodeState) -> Parts:
        """The question's prompt as the policy sees it, images passed through the view."""
        return self._showing.of_question(state.question.prompt)

    def shown_sizes(self, state: EpisodeState) -> tuple[Size, ...]:
        """The sizes at which the policy was shown the episode's images: those of the question, then of tool results."""
        return self._executor.shown_sizes(state)

    def results(self, calls: Iterable[CallRecord], *, answer_ignored: bool = False) -> Parts:
        """What a turn's calls lead to, as the policy reads it: their results, images passed through the view.

        Args:
            calls: the calls, with their results.
            answer_ignored: the turn gave an answer, too.
        """
        return join_results(calls, answer_ignored=answer_ignored, show=self._showing.of_result)

    def observe(self, state: EpisodeState) -> Observation:
        """What `reset`, `step` or a `restore` to that state shows: only what is new, nothing once it has ended."""
        if state.stop is not None:
            return to_observation(())
        if state.turns:
            return to_observation(wrap_results(state.turns[-1].observation))
        instructions = (f"{self.instructions}\n\n",) if self.instructions else ()
        return to_observation(quote_parts((*instructions, *self.opening(state)), RESPONSE_TAGS))

    def advance(self, state: EpisodeState, text: str, *, cut_off: bool = False) -> Transition:
        """What an assistant turn leads to.

        Args:
            state: the state before the turn.
            text: the turn.
            cut_off: the turn hit a token limit: its calls are recorded, nothing is executed, the episode ends.

        Raises:
            ResetNeeded: the episode has ended.
            TypeError: the turn is no string.
            ToolFault, RewardFault: the code of a tool or of the reward failed.
            InfrastructureFault: the machinery failed; the state before the turn is still good.
        """
        if state.stop is not None:
            raise ResetNeeded(f"the episode of question {state.question.id!r} has ended ({state.stop}); begin another")
        if not isinstance(text, str):
            raise TypeError(f"expected an assistant turn as str; got {type(text).__name__}")
        parsed = parse_turn(text, answers=self._rules.answers)
        if cut_off:
            reason = "the turn hit a token limit before it was complete"
            return self._end(state, text, StopReason.MAX_TOKENS, calls=self._refuse(parsed, state, reason))
        if not parsed.calls:
            stop = StopReason.NO_ANSWER if parsed.answer is None else StopReason.ANSWERED
            return self._end(state, text, stop, answer=parsed.answer)
        if len(state.turns) >= self._rules.max_turns:
            reason = f"at most {self._rules.max_turns} turns may call tools"
            return self._end(state, text, StopReason.MAX_TURNS, calls=self._refuse(parsed, state, reason))
        return self._act(state, text, parsed)

    def snapshot_of(self, state: EpisodeState) -> Snapshot:
        """The snapshot of any state of this environment; nothing is copied."""
        return Snapshot(state=state, env_id=self._rules.env_id, rules=self._fingerprint)

    def snapshot(self) -> Snapshot:
        """The current moment, to return to any number of times; nothing is copied."""
        return self.snapshot_of(self.state)

    def check(self, snapshot: Snapshot) -> None:
        """Holds a snapshot to being one that episodes can go on from here.

        Raises:
            SnapshotError: it was taken in another environment, under another schema version, other rules, or
                of a question from another source.
        """
        expected = (
            ("environment", self._rules.env_id, snapshot.env_id),
            ("schema version", SCHEMA_VERSION, snapshot.schema_version),
            ("question source", self.questions.fingerprint, snapshot.state.question.source),
            ("rules (tools, instructions, limits, settings)", self._fingerprint, snapshot.rules),
        )
        for what, own, got in expected:
            if own != got:
                where = f"question {snapshot.state.question.id!r} in {self._rules.env_id}"
                raise SnapshotError(f"cannot go on with {where}: expected {what} {own!r}; got {got!r}")

    def restore(self, snapshot: Snapshot) -> None:
        """Makes a moment the current one: `step` goes on from there.

        Raises:
            SnapshotError: `check` refuses it; the current episode stays.
        """
        self.check(snapshot)
        self._state, self._unbegun = snapshot.state, None

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
        observation = self.observe(self._state)
        return observation, transition.reward, transition.terminated, transition.truncated, self._info()

    def render(self) -> Any:
        """A transcript of the current episode (str) in render mode "ansi", else None."""
        return None if self.render_mode is None else transcript(self.state)

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

    def _refuse(self, parsed: ParsedTurn, state: EpisodeState, reason: str) -> tuple[CallRecord, ...]:
        return self._executor.refuse(parsed.calls, state, reason=reason)

    def _act(self, state: EpisodeState, text: str, parsed: ParsedTurn) -> Transition:
        calls, tool_states = self._executor.execute(parsed.calls, state)
        observation = self.results(calls, answer_ignored=parsed.answer is not None)
        turn = Turn(text=text, calls=calls, observation=observation)
        after = replace(
            state, turns=(*state.turns, turn), tool_states=tool_states, digest=next_digest(state, turn, None)
        )
        return Transition(state=after, observation=observation, reward=0.0, terminated=False, truncated=False)

    def _end(
        self,
        state: EpisodeState,
        text: str,
        stop: StopReason,
        *,
        calls: tuple[CallRecord, ...] = (),
        answer: str | None = None,
    ) -> Transition:
        turn = Turn(text=text, calls=calls, answer=answer)
        after = replace(state, turns=(*state.turns, turn), stop=stop, digest=next_digest(state, turn, stop))
        after = replace(after, terms=score(self._rules.reward, after.question, answer, after))
        terminated = stop in (StopReason.ANSWERED, StopReason.NO_ANSWER)
        return Transition(
            state=after, observation=(), reward=after.reward, terminated=terminated, truncated=not terminated
        )

    def _info(self) -> dict[str, Any]:
        """For people who watch; nothing in it may influence training."""
        state = self.state
        info: dict[str, Any] = {"question": state.question.id, "turns": len(state.turns)}
        if state.stop is not None:
            info |= {"stop": state.stop.value, "answer": state.turns[-1].answer or ""}
            info["terms"] = {term.name: term.value for term in state.terms}
        return info
