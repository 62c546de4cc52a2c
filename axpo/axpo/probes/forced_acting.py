"""Defines the probe of forced acting: what rollouts that called no tool would have come to had they called one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from axpo.algorithm._call_opening import behind_thinking, opening_behind
from axpo.algorithm.types import Group
from axpo.diagnostics.estimates import Estimate, estimate_ratio
from axpo.probes.subject import Finding, Subject
from axpo.settings.config import ConfigError
from axpo_agents.rolling import Start
from axpo_agents.types import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A rollout without a call, and the two ways in which it goes on from its thinking."""

    group: int
    """Its question's place."""
    rollout: Rollout
    """The rollout."""
    forced: Start
    """Behind the opening tag that is forced upon it."""
    free: Start
    """The same moment without the tag."""


def forced_acting(subject: Subject) -> Finding:
    """Forces the opening tag of a call behind the thinking of every rollout that called nothing.

    What is kept are the rollout's own ids up to the end of its thinking and the white space behind it. As a wrong
    rollout that is sampled again may turn out right by luck, each is also continued from there with nothing forced.

    `forced_pass1` is the success where every rollout acts: those that called something by themselves count as they are,
    the others as they went on behind the tag (`forced_idle_pass1` is theirs alone, `idle_pass1` what they were worth as
    they were). `could_have_acted` is the share of questions that some rollout answered wrong without acting and answers
    right from the same thought once the tag is forced; `could_have_retried` the same with nothing forced.
    `forced_recovery` and `unforced_recovery` are the shares of such wrong rollouts; `forced_call_valid_rate` that of
    forced calls that name a known tool with arguments that fit it. Rollouts whose thinking does not end, or behind
    which nothing was written, are left out.

    Raises:
        ConfigError: the environment has no tools, or the policy does not say how calls begin.
    """
    if not subject.env.tools:
        raise ConfigError("probes: forced acting needs an environment with tools; this one has none")
    cases, unfit = _cases(subject)
    forced = subject.grow([case.forced for case in cases])
    free = subject.grow([case.free for case in cases])
    ends = list(zip(cases, forced, free, strict=True))
    counted = {
        index: _counted(
            subject, group, [(case.rollout, one, other) for case, one, other in ends if case.group == index]
        )
        for index, group in enumerate(subject.groups)
    }
    ended = [rollout for rollout in (*forced, *free) if rollout is not None]
    return Finding(
        metrics=_metrics(list(counted.values())),
        questions=counted,
        episodes=len(ended),
        dropped=2 * len(cases) - len(ended),
        undecided=unfit,
    )


def _cases(subject: Subject) -> tuple[list[_Case], int]:
    """The rollouts without calls that can be forced, and how many cannot."""
    tool = subject.env.tools[0].name
    cases: list[_Case] = []
    unfit = 0
    for index, group in enumerate(subject.groups):
        for number, rollout in enumerate(group.rollouts):
            if rollout.used_tool:
                continue
            kept = behind_thinking(subject.policy, rollout.completions[-1]) if rollout.completions else None
            tag = None if kept is None else opening_behind(subject.policy, rollout.completions[-1].ids[:kept], tool)
            if kept is None or tag is None:
                unfit += 1
                continue
            free = Start.within(rollout, turn=len(rollout.completions) - 1, token=kept)
            parts = (group.question.id, index, number)
            cases.append(
                _Case(
                    group=index,
                    rollout=rollout,
                    free=replace(free, seed=subject.seed("unforced", *parts)),
                    forced=replace(
                        free,
                        forced=free.forced + tag,
                        # Nothing is trained on it, so how probable the tag was is left unknown.
                        forced_logprobs=free.forced_logprobs + (float("nan"),) * len(tag),
                        seed=subject.seed("forced", *parts),
                    ),
                )
            )
    return cases, unfit


def _counted(
    subject: Subject, group: Group, cases: Sequence[tuple[Rollout, Rollout | None, Rollout | None]]
) -> dict[str, int]:
    """What became of a question's rollouts; only those count of which neither continuation was lost."""
    whole = [(rollout, forced, free) for rollout, forced, free in cases if forced is not None and free is not None]
    acting = [rollout for rollout in group.rollouts if rollout.used_tool]
    wrong = [(forced, free) for rollout, forced, free in whole if not subject.right(rollout)]
    return {
        "acting": len(acting),
        "acting_right": sum(map(subject.right, acting)),
        "idle": len(whole),
        "idle_right": len(whole) - len(wrong),
        "forced_right": sum(subject.right(forced) for _, forced, _ in whole),
        "forced_valid": sum(_begins_valid(forced, len(rollout.completions) - 1) for rollout, forced, _ in whole),
        "idle_wrong": len(wrong),
        "recovered_forced": sum(subject.right(forced) for forced, _ in wrong),
        "recovered_unforced": sum(subject.right(free) for _, free in wrong),
    }


def _begins_valid(rollout: Rollout, turn: int) -> bool:
    """Whether the first call of a turn names a known tool with arguments that fit it."""
    calls = rollout.episode.turns[turn].calls
    return bool(calls) and calls[0].valid


def _metrics(counted: Sequence[Mapping[str, int]]) -> dict[str, Estimate | None]:
    def values(name: str) -> list[int]:
        return [found[name] for found in counted]

    everyone = [found["acting"] + found["idle"] for found in counted]
    one_each = [1 if size else 0 for size in everyone]
    everyone_right = [found["acting_right"] + found["forced_right"] for found in counted]
    return {
        "forced_pass1": estimate_ratio(everyone_right, everyone),
        "forced_idle_pass1": estimate_ratio(values("forced_right"), values("idle")),
        "idle_pass1": estimate_ratio(values("idle_right"), values("idle")),
        "could_have_acted": estimate_ratio([found > 0 for found in values("recovered_forced")], one_each),
        "could_have_retried": estimate_ratio([found > 0 for found in values("recovered_unforced")], one_each),
        "forced_recovery": estimate_ratio(values("recovered_forced"), values("idle_wrong")),
        "unforced_recovery": estimate_ratio(values("recovered_unforced"), values("idle_wrong")),
        "forced_call_valid_rate": estimate_ratio(values("forced_valid"), values("idle")),
    }
