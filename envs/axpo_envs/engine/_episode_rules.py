"""Defines `EpisodeRules`: an environment as functions from one state of an episode to the next, nothing remembered.

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

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from gymnasium.error import ResetNeeded

from axpo_envs.digest import next_digest, opening_digest
from axpo_envs.engine._execution import Executor
from axpo_envs.engine._toolbox import Toolbox
from axpo_envs.errors import SnapshotError
from axpo_envs.gate import AllOf, Gate
from axpo_envs.images import Size
from axpo_envs.imaging.showing import Showing
from axpo_envs.observation import Observation, join_results, to_observation, wrap_results
from axpo_envs.parsing import ParsedTurn, parse_turn
from axpo_envs.questions.sources import QuestionSource
from axpo_envs.rewards.reward import score
from axpo_envs.snapshot import SCHEMA_VERSION, Snapshot
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.tool.protocol import Tool
from axpo_envs.turn_format.tags import RESPONSE_TAGS, quote_parts
from axpo_envs.types import CallRecord, EpisodeState, Parts, Question, StopReason, Transition, Turn

if TYPE_CHECKING:
    from axpo_envs.governance import Governance


class EpisodeRules:
    """How episodes begin, what every turn leads to, and which snapshots they can go on from.

    Nothing here changes anything; all of it may be called from several threads, as far as tools and reward may.

    Args:
        spec: what the environment is made of.
    """

    def __init__(self, spec: ToolEnvSpec) -> None:
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
            log=spec.log,
            image_caption=spec.image_caption,
        )
        self._rules = spec
        self._fingerprint = spec.fingerprint
        self._governed: tuple[Governance, ...] = ()

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

    def asking(self, questions: QuestionSource) -> Self:
        """A copy that asks other questions by the same rules.

        Args:
            questions: what it asks, such as a `QuestionSubset` of this environment's.
        """
        return self._with_rules(replace(self._rules, questions=questions))

    def gated(self, gate: Gate, *, agent: str = "") -> Self:
        """A copy whose calls pass a further gate, after the environment's own; snapshots of either go on in the other.

        Args:
            gate: decides about every call that is ready to run.
            agent: whose calls they are, in a team.
        """
        gates = (gate,) if self._rules.gate is None else (self._rules.gate, gate)
        other = self._with_rules(replace(self._rules, gate=AllOf(gates)))
        other._executor = replace(self._executor, gate=AllOf(gates), agent=agent or self._executor.agent)
        return other

    def governed(self, governance: Governance) -> Self:
        """A copy that acts under a policy and a log; its snapshots go on where the same policy holds.

        Args:
            governance: the policy, the phase, and where decisions are recorded.

        Raises:
            EnvConfigError: the policy or the log is unusable.
        """
        rules = governance.over(self._rules)
        other = self._with_rules(rules)
        other._executor = replace(self._executor, gate=rules.gate, log=rules.log)
        other._fingerprint = rules.fingerprint
        other._governed = (*self._governed, governance)
        return other

    def _with_rules(self, rules: ToolEnvSpec) -> Self:
        # copy.copy would go by __reduce__, and an environment that pickles as its arguments would be made anew.
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._rules = rules
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
