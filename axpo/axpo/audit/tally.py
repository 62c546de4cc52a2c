"""Defines `Tally`, which counts rollouts as they stream by, question by question, and what its counts say.

Only counts are kept, one small row a question and step: a million rollouts fit into some hundred megabytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Hashable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final, TypeAlias, TypeVar

from axpo.audit.bounds import BOUNDS, Bounds
from axpo.audit.record import Rollout
from axpo.diagnostics.demands import NO_DEMANDS, Demands
from axpo.diagnostics.estimates import Estimate, estimate_ratio, pass_at_k

Part = TypeVar("Part", bound=Hashable)
Estimates: TypeAlias = dict[str, Estimate | None]


class Question:
    """What was counted of one question's rollouts of one step."""

    __slots__ = (
        *("acting", "acting_right", "allowed", "bounds", "calls", "cut_off", "cut_off_known", "environment"),
        *("example", "hops", "idle_right", "mentions", "mentions_known", "useless"),
        *("premature", "reward_high", "reward_low", "reward_sum", "rollouts", "scored", "scored_acting", "succeeded"),
        *("succeeded_known", "thinking", "valid"),
    )

    def __init__(self, hops: int | None, demands: Demands, environment: str | None) -> None:
        self.hops = hops
        self.bounds = None if demands == NO_DEMANDS else Bounds(demands)
        self.environment = environment
        self.rollouts = self.acting = self.scored = self.scored_acting = self.acting_right = self.idle_right = 0
        self.calls = self.valid = self.succeeded = self.succeeded_known = self.allowed = self.useless = 0
        self.thinking = self.mentions = self.mentions_known = self.premature = self.cut_off = self.cut_off_known = 0
        self.example = -1
        self.reward_sum = 0.0
        self.reward_low, self.reward_high = float("inf"), float("-inf")

    @property
    def demands(self) -> Demands:
        """What it demands of acting."""
        return NO_DEMANDS if self.bounds is None else self.bounds.demands

    def add(self, rollout: Rollout, useless: int, threshold: float, number: int) -> None:
        """Counts one rollout with so many calls of no use, whose record has this number."""
        acts = rollout.used_tool
        if self.bounds is not None:
            self.bounds.add(rollout)
        self.rollouts += 1
        self.acting += acts
        self.calls += len(rollout.calls)
        self.valid += sum(rollout.known)
        for call in rollout.calls:
            if call.succeeded is not None:
                self.succeeded_known += 1
                self.succeeded += call.succeeded
        if acts:
            self.allowed += sum(attempt.allowed for attempt in rollout.attempts)
            self.useless += useless
        self.thinking += rollout.thinks
        if rollout.mentions is not None:
            self.mentions_known += 1
            self.mentions += rollout.mentions and not acts
        if rollout.cut_off is not None:
            self.cut_off_known += 1
            self.cut_off += rollout.cut_off
        if rollout.reward is not None:
            self._score(rollout, rollout.reward >= threshold, number)

    def _score(self, rollout: Rollout, right: bool, number: int) -> None:
        acts, reward = rollout.used_tool, rollout.reward or 0.0
        # The first wrong one, and rather the first wrong one that called a tool.
        if not right and (self.example < 0 or (acts and self.scored_acting == self.acting_right)):
            self.example = number
        self.scored += 1
        self.scored_acting += acts
        self.acting_right += acts and right
        self.idle_right += right and not acts
        self.reward_sum += reward
        self.reward_low, self.reward_high = min(self.reward_low, reward), max(self.reward_high, reward)
        self.premature += acts and not right and rollout.hops is not None and len(rollout.calls) < rollout.hops

    @property
    def right(self) -> int:
        """Rollouts that are right."""
        return self.acting_right + self.idle_right

    @property
    def scored_idle(self) -> int:
        """Scored rollouts without a call."""
        return self.scored - self.scored_acting


Counted: TypeAlias = Callable[[Question], tuple[float, int]]


def _all_wrong(right: int, scored: int) -> tuple[float, int]:
    return (float(right == 0), 1) if scored else (0.0, 0)


def _of_bounds(counted: Callable[[Bounds], tuple[float, int]], question: Question) -> tuple[float, int]:
    return (0.0, 0) if question.bounds is None else counted(question.bounds)


METRICS: Final[Mapping[str, Counted]] = {
    "reward_mean": lambda q: (q.reward_sum, q.scored),
    "pass1": lambda q: (q.acting_right + q.idle_right, q.scored),
    "tool_attempt_rate": lambda q: (q.acting, q.rollouts),
    "tool_call_valid_rate": lambda q: (q.valid, q.calls),
    "tool_success_rate": lambda q: (q.succeeded, q.succeeded_known),
    "tool_pass1": lambda q: (q.acting_right, q.scored_acting),
    "no_tool_pass1": lambda q: (q.idle_right, q.scored_idle),
    "paired_tool_pass1": lambda q: (
        (q.acting_right / q.scored_acting, 1) if q.scored_acting and q.scored_idle else (0.0, 0)
    ),
    "paired_no_tool_pass1": lambda q: (
        (q.idle_right / q.scored_idle, 1) if q.scored_acting and q.scored_idle else (0.0, 0)
    ),
    "all_wrong_tool_subgroups": lambda q: _all_wrong(q.acting_right, q.scored_acting),
    "all_wrong_no_tool_subgroups": lambda q: _all_wrong(q.idle_right, q.scored_idle),
    "dead_groups": lambda q: (float(q.reward_low == q.reward_high), 1) if q.scored > 1 else (0.0, 0),
    "no_signal_at_calls": lambda q: (
        (float(q.acting_right == 0 or q.reward_low == q.reward_high), 1)
        if q.scored_acting and q.scored > 1
        else (0.0, 0)
    ),
    "mention_without_call": lambda q: (q.mentions, q.mentions_known) if q.thinking else (0.0, 0),
    "premature_stop": lambda q: (q.premature, q.scored_acting) if q.hops is not None else (0.0, 0),
    **{name: partial(_of_bounds, counted) for name, counted in BOUNDS.items()},
    "over_acting": lambda q: (q.useless, q.allowed),
    "cut_off_rate": lambda q: (q.cut_off, q.cut_off_known),
}
"""What is counted of a question, and out of how many; the names are those of algorithm.md. Beyond it: `pass1`, rollouts
with at least the success threshold; `no_signal_at_calls`, questions whose calls nothing speaks for: no rollout that
called a tool is right, or all rollouts are worth the same."""
PASS_KS: Final = (4,)
QuestionKey: TypeAlias = tuple[int, int | None]
"""A question of a step: what tells it from others, as a hash, and the step."""
_MOST_ENVIRONMENTS: Final = 200
OTHER_ENVIRONMENTS: Final = "(other environments)"
"""Under what is counted of environments beyond those: a field that was meant to tell them may tell records apart."""


class Tally:
    """Counts of rollouts by question.

    Args:
        threshold: a rollout with a reward below it is wrong.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._questions: dict[QuestionKey, Question] = {}
        self._environments: dict[str, str] = {}
        self.rollouts = 0
        self.unscored = 0

    def add(self, rollout: Rollout, useless: int, number: int) -> QuestionKey:
        """Counts one rollout with so many calls of no use, whose record has this number; returns its question's key.

        Environments number their questions alike, so that equal questions of two of them are two.
        """
        environment = self._environment(rollout.environment)
        asked = rollout.question if environment is None else (environment, rollout.question)
        key = (hash(asked), rollout.step)
        question = self._questions.get(key)
        if question is None:
            question = self._questions[key] = Question(rollout.hops, rollout.demands, environment)
        question.add(rollout, useless, self._threshold, number)
        self.rollouts += 1
        self.unscored += rollout.reward is None
        return key

    def _environment(self, name: str | None) -> str | None:
        """The name, one object of it for all questions."""
        if name is None or name in self._environments:
            return name if name is None else self._environments[name]
        known = name if len(self._environments) < _MOST_ENVIRONMENTS else OTHER_ENVIRONMENTS
        return self._environments.setdefault(known, known)

    @property
    def steps(self) -> set[int]:
        """The steps that rollouts told."""
        return {step for _, step in self._questions if step is not None}

    @property
    def questions(self) -> Collection[Question]:
        """What was counted, by question and step."""
        return self._questions.values()

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments that rollouts told, those with the most rollouts first."""
        found: Counter[str] = Counter()
        for question in self.questions:
            if question.environment is not None:
                found[question.environment] += question.rollouts
        return tuple(name for name, _ in found.most_common())

    def asked(self, steps: Container[int] | None = None) -> dict[QuestionKey, int]:
        """How many rollouts each question has; of some steps, or of all."""
        return {key: question.rollouts for key, question in self._questions.items() if steps is None or key[1] in steps}

    def demands(self) -> dict[QuestionKey, tuple[Demands, int]]:
        """Of the questions that demand something of acting what they do, and how many rollouts each has."""
        return {
            key: (question.demands, question.rollouts)
            for key, question in self._questions.items()
            if question.bounds is not None
        }

    def by_step(self) -> Iterator[tuple[int | None, Question]]:
        """The same with the step of each."""
        return ((step, question) for (_, step), question in self._questions.items())

    def __len__(self) -> int:
        return len(self._questions)

    def parts(self, part_of: Callable[[int | None, Question], Part]) -> dict[Part, list[Question]]:
        """What was counted, apart by what a question's step and its counts give."""
        found: dict[Part, list[Question]] = {}
        for (_, step), question in self._questions.items():
            found.setdefault(part_of(step, question), []).append(question)
        return found


def estimates_of(questions: Collection[Question]) -> Estimates:
    """Every metric of some questions with its 95 % interval over them; None where nothing was observed."""
    found: Estimates = {name: _estimate(questions, counted) for name, counted in METRICS.items()}
    for k in PASS_KS:
        enough = [q for q in questions if q.scored >= k]
        scores = [pass_at_k(q.scored, q.acting_right + q.idle_right, k) for q in enough]
        found[f"pass{k}"] = estimate_ratio(scores, [1] * len(scores), observations=sum(q.scored for q in enough))
    return found


def _estimate(questions: Iterable[Question], counted: Counted) -> Estimate | None:
    parts, wholes = [], []
    for question in questions:
        part, whole = counted(question)
        if whole:
            parts.append(float(part))
            wholes.append(whole)
    return estimate_ratio(parts, wholes)
