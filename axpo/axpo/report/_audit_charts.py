"""Defines the charts of an audit: metrics over steps and over needed calls, tools over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from axpo.audit.audit import Findings
from axpo.audit.exhibits import clipped
from axpo.diagnostics.estimates import Estimate
from axpo.diagnostics.registry import metric_named
from axpo.report._live_charts import ROLES, Curve, LiveChart, Topic, live_chart
from axpo.report._values import value_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    title: str
    caption: str
    metrics: tuple[str, ...]
    share: bool = True


_PANELS: Final = (
    _Panel(title="Tool use", caption=metric_named("tool_attempt_rate").meaning, metrics=("tool_attempt_rate",)),
    _Panel(
        title="Right with a tool and without",
        caption="Of all rollouts, of those that called a tool, and of those that called none.",
        metrics=("pass1", "tool_pass1", "no_tool_pass1"),
    ),
    _Panel(
        title="What teaches nothing",
        caption="Shares of questions: no signal at tool calls, nobody right with a tool, all rollouts worth the same.",
        metrics=("no_signal_at_calls", "all_wrong_tool_subgroups", "dead_groups"),
    ),
    _Panel(
        title="Intent and haste",
        caption="Rollouts that name a tool and call none; wrong ones with fewer calls than their question needs.",
        metrics=("mention_without_call", "premature_stop"),
    ),
    _Panel(
        title="Within bounds",
        caption="Rollouts with a forbidden attempt, that left out a demanded call, and that declined where they must; "
        "calls of no use.",
        metrics=("forbidden_attempt", "failed_to_act", "declined_correctly", "over_acting"),
    ),
    _Panel(
        title="Calls",
        caption="Calls that can be read and name an offered tool; calls that came back without an error.",
        metrics=("tool_call_valid_rate", "tool_success_rate"),
    ),
    _Panel(title="Reward", caption="Mean over rollouts.", metrics=("reward_mean",), share=False),
)


def charts_over_time(findings: Findings) -> tuple[LiveChart, ...]:
    """Metrics and tools over the steps; none where steps are not told, or there is but one period."""
    return (*_charts("step", findings.over_time), *_tools(findings)) if len(findings.over_time) > 1 else ()


def charts_by_environment(findings: Findings) -> tuple[LiveChart, ...]:
    """Tool use and success of the environments over the steps; none where there is one, or one period."""
    most = list(findings.environments_over_time)[: len(ROLES)]
    if len(findings.by_environment) < 2 or len(findings.over_time) < 2:
        return ()
    charts = (
        live_chart(
            Topic(
                title=f"{metric_named(metric).title}, by environment",
                caption=metric_named(metric).meaning,
                axis="step",
                places=tuple(findings.over_time),
            ),
            [
                _curve(clipped(name, 40), [each[metric] for each in findings.environments_over_time[name].values()])
                for name in most
            ],
        )
        for metric in ("tool_attempt_rate", "pass1")
    )
    return tuple(chart for chart in charts if chart is not None)


def charts_by_hops(findings: Findings) -> tuple[LiveChart, ...]:
    """Metrics over the number of calls that questions need."""
    return _charts("calls needed:", findings.by_hops)


def _charts(axis: str, found: Mapping[str, Mapping[str, Estimate | None]]) -> tuple[LiveChart, ...]:
    charts = (
        live_chart(
            Topic(title=panel.title, caption=panel.caption, axis=axis, places=tuple(found), share=panel.share),
            [_curve(metric_named(name).label, [each[name] for each in found.values()]) for name in panel.metrics],
        )
        for panel in _PANELS
    )
    return tuple(chart for chart in charts if chart is not None)


def _tools(findings: Findings) -> tuple[LiveChart, ...]:
    most = [name for name in findings.by_tool if name in findings.tools_over_time][: len(ROLES)]
    topic = Topic(
        title="Each tool",
        caption="Share of rollouts that call it; the tools most often called.",
        axis="step",
        places=tuple(findings.over_time),
    )
    curves = [
        _curve(clipped(name, 40), [findings.tools_over_time[name][period] for period in topic.places]) for name in most
    ]
    chart = live_chart(topic, curves)
    return () if chart is None else (chart,)


def _curve(label: str, found: Sequence[Estimate | None]) -> Curve:
    return Curve(label=label, values=tuple(map(value_of, found)))
