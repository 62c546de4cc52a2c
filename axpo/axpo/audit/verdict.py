"""Defines `verdict`: in plain words, what an audit found wrong with acting, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from axpo.audit.audit import Findings
from axpo.audit.tally import Estimates
from axpo.diagnostics.estimates import Estimate
from axpo_envs.plumbing.printable import printable

_MUCH: Final = 0.25
_SOME: Final = 0.1
_RARE: Final = 0.2
_ENOUGH: Final = 20
_MOST: Final = 3
"""Environments that are told of by name."""


def verdict(findings: Findings) -> tuple[str, ...]:
    """Sentences, the most costly finding first; one that says so where nothing is wrong."""
    said = [sentence for check in _CHECKS for sentence in check(findings)]
    return tuple(said) or ("Nothing here speaks of a policy that unlearns to act.",)


def _no_calls(findings: Findings) -> Iterator[str]:
    rate = findings.metrics["tool_attempt_rate"]
    if rate is not None and rate.value == 0:
        yield (
            f"No rollout of {rate.n} calls a tool. Rates of calls are undefined, not perfect: nothing is learned about "
            "acting, and a reward that only looks at answers cannot bring it back."
        )


def _environments(findings: Findings) -> Iterator[str]:
    """What the whole hides: environments in which no tool is called, or in which calling collapsed."""
    rate = findings.metrics["tool_attempt_rate"]
    if rate is None or rate.value == 0 or len(findings.by_environment) < 2:
        return
    idle = [
        (name, found["tool_attempt_rate"])
        for name, found in findings.by_environment.items()
        if (found["tool_attempt_rate"] or rate).value == 0
    ]
    for name, none in idle[:_MOST]:
        yield f"In {_named(name)} no rollout of {0 if none is None else none.n} calls a tool, though others call some."
    if len(idle) > _MOST:
        yield f"The same is true of {len(idle) - _MOST} further environments."
    whole = _fall(findings.over_time)
    for name, periods in findings.environments_over_time.items():
        fall = _fall(periods)
        if fall is not None and whole is None:
            yield f"In {_named(name)} tool use collapsed: {fall}"


def _no_signal(findings: Findings) -> Iterator[str]:
    lost = findings.metrics["no_signal_at_calls"]
    if lost is not None and lost.value >= _SOME:
        yield (
            f"{_percent(lost)} of your questions with tool calls give no signal at these calls: no rollout that called "
            "a tool is right, or all are worth the same. Such calls get no advantage, or a negative one."
        )


def _dead(findings: Findings) -> Iterator[str]:
    dead = findings.metrics["dead_groups"]
    if dead is not None and dead.value >= _MUCH:
        yield f"{_percent(dead)} of your groups teach nothing, for all their rollouts are worth the same."


def _mentions(findings: Findings) -> Iterator[str]:
    mention = findings.metrics["mention_without_call"]
    if mention is not None and mention.value >= _SOME:
        yield f"{_percent(mention)} of the rollouts name a tool in their thinking and call none: intent without an act."


def _premature(findings: Findings) -> Iterator[str]:
    early = findings.metrics["premature_stop"]
    if early is not None and early.value >= _SOME:
        yield (
            f"{_percent(early)} of the tool-using rollouts of questions with known hops stop early: with fewer calls "
            "than the question needs, and a wrong answer."
        )


def _acting_pays(findings: Findings) -> Iterator[str]:
    with_tool, without = findings.metrics["paired_tool_pass1"], findings.metrics["paired_no_tool_pass1"]
    rate = findings.metrics["tool_attempt_rate"]
    if with_tool is None or without is None or rate is None or with_tool.n < _ENOUGH:
        return
    gap = 100 * (with_tool.value - without.value)
    if min(with_tool.high or 1.0, without.high or 1.0) >= max(with_tool.low or 0.0, without.low or 0.0):
        return
    if gap > 0 and rate.value < _RARE:
        yield (
            f"Acting pays and is rare: on the {with_tool.n} questions answered both ways, rollouts with a tool are "
            f"right {gap:.0f} points more often, but only {_percent(rate)} of the rollouts call one."
        )
    elif gap < 0 and rate.value >= _RARE:
        yield (
            f"Acting does not pay yet: on the {with_tool.n} questions answered both ways, rollouts with a tool are "
            f"right {-gap:.0f} points less often. Trained on this, a policy unlearns to call."
        )


def _falls(findings: Findings) -> Iterator[str]:
    fall = _fall(findings.over_time)
    if fall is not None:
        yield f"Tool use collapsed: {fall}"


def _fall(over_time: Mapping[str, Estimates]) -> str | None:
    rates = [(name, found["tool_attempt_rate"]) for name, found in over_time.items()]
    known = [(name, rate) for name, rate in rates if rate is not None]
    if len(known) < 3:
        return None
    best, top = max(known, key=lambda item: item[1].value)
    latest, last = known[-1]
    certain = last.high is not None and top.low is not None and last.high < top.low
    if not certain or last.value >= 0.5 * top.value:
        return None
    return f"{_percent(top)} of the rollouts called a tool in steps {best}, {_percent(last)} in steps {latest}."


def _invalid(findings: Findings) -> Iterator[str]:
    valid = findings.metrics["tool_call_valid_rate"]
    if valid is not None and valid.value < 1 - _SOME:
        yield f"{100 * (1 - valid.value):.0f} % of the calls cannot be read or name no tool that was offered."


def _failing(findings: Findings) -> Iterator[str]:
    success = findings.metrics["tool_success_rate"]
    if success is not None and success.value < 1 - _MUCH:
        yield f"{100 * (1 - success.value):.0f} % of the calls whose result is known came back with an error."


def _declines(findings: Findings) -> Iterator[str]:
    failed = findings.metrics["failed_to_act"]
    if failed is not None and failed.value >= _SOME:
        yield f"{_percent(failed)} of the rollouts of questions that demand a call leave one out that is demanded."


def _forbidden(findings: Findings) -> Iterator[str]:
    tried, ran = findings.metrics["forbidden_attempt"], findings.metrics["forbidden_executed"]
    if tried is None or tried.value == 0:
        return
    became = "" if ran is None else f"; in {_percent(ran)} such a call was executed"
    yield f"{_percent(tried)} of the rollouts of questions that forbid a call attempt it{became}."


def _over_acting(findings: Findings) -> Iterator[str]:
    useless = findings.metrics["over_acting"]
    if useless is not None and useless.value >= _MUCH:
        yield f"{_percent(useless)} of the calls that were let through are of no use: forbidden, repeats, or too many."


def _named(environment: str) -> str:
    return printable(environment)


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.0f} %"


_CHECKS: Final[tuple[Callable[[Findings], Iterator[str]], ...]] = (
    *(
        _no_calls,
        _forbidden,
        _falls,
        _environments,
        _no_signal,
        _acting_pays,
        _mentions,
        _premature,
        _dead,
        _declines,
        _over_acting,
        _invalid,
        _failing,
    ),
)
