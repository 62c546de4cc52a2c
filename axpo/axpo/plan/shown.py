"""Defines `show_plan`: a plan as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from axpo.plan.expecting import ASSUMED
from axpo.plan.memory import GIB, When
from axpo.plan.planning import Plan
from axpo.plan.whatif import Tried
from axpo.terminal.fitting_table import FittingTable
from axpo_envs.plumbing.printable import printable

_PHASES = {
    "questions": "drawing questions",
    "sampling": "sampling",
    "resampling": "resampling prefixes",
    "tools": "tools",
    "drift": "drift between sampler and learner",
    "reference": "reference policy",
    "update": "update",
    "weights": "weights to what samples",
}
_WHEN = {When.ALWAYS: "always", When.SAMPLING: "sampling", When.BACKWARD: "backward", When.STEP: "optimizer step"}


def show_plan(plan: Plan, console: Console) -> None:
    """Prints a plan."""
    for line in _heading(plan):
        console.print(Text(printable(line)))
    console.print(_memory(plan))
    for line in _verdict(plan):
        console.print(Text(printable(line)))
    console.print(_tokens(plan))
    if plan.times is not None:
        console.print(_times(plan))
    for line in _notes(plan):
        console.print(Text(printable(line)))


def show_simulation(tried: Sequence[Tried], console: Console) -> None:
    """Prints where a step's time goes, and what would help."""
    base = tried[0].outcome
    rows = (
        ("a step", seconds_text(base.step_s)),
        ("the learner waits", f"{base.waiting_share:.0%}"),
        ("devices that sample write turns", f"{base.engine_share:.0%} of the time"),
        ("turns that they write at a time", f"{base.fullness:.3g}"),
        ("the last tenth of a step's episodes", seconds_text(base.tail_s)),
        ("tools, of an episode's time", f"{base.tool_share:.0%}"),
        ("sampled", f"{base.tokens_per_s:,.0f} tokens/s"),
        ("staleness", f"{base.staleness:.2g}"),
    )
    console.print(FittingTable(title="Simulated", columns=("",), rows=rows))
    changes = tuple(
        (one.change, f"{one.gain:.2f} x", seconds_text(one.outcome.step_s), f"{one.outcome.waiting_share:.0%}")
        for one in tried[1:]
    )
    columns = ("faster", "a step", "learner waits")
    console.print(FittingTable(title="What would help, each change by itself", columns=columns, rows=changes))


def _heading(plan: Plan) -> Iterator[str]:
    shape, placement = plan.shape, plan.placement
    yield f"{shape.name}: {shape.parameters / 1e9:.3g} billion parameters, {shape.layers} layers"
    form = "FSDP2" if placement.is_divided else "DDP" if placement.learners > 1 else "one process"
    served = f", {placement.samplers} that sample" if placement.samplers else ""
    yield f"{placement.learners} x {placement.machine.device} ({form}){served}"


def _memory(plan: Plan) -> FittingTable:
    rows = [
        (part.name, gib(part.bytes), "the CPU's" if part.on_host else "", _when(part.when))
        for part in plan.memory.parts
    ]
    rows += [
        (f"peak, {name.replace('step', 'optimizer step')}", gib(peak), "", "")
        for name, peak in plan.memory.peaks.items()
    ]
    rows.append(("can be used", gib(plan.memory.usable), "", ""))
    return FittingTable(title="Memory of one device that learns", columns=("GiB", "where", "when"), rows=tuple(rows))


def _when(when: When) -> str:
    return _WHEN.get(when) or "backward, optimizer step"


def gib(size: float) -> str:
    """Bytes in GiB, with as many digits as small models need."""
    value = size / GIB
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"


def _verdict(plan: Plan) -> Iterator[str]:
    memory = plan.memory
    if memory.fits:
        yield f"It fits: {gib(memory.peak)} of {gib(memory.usable)} GiB at most."
        return
    yield f"It does not fit: {gib(memory.peak)} GiB at most, {gib(memory.usable)} GiB are there. What would change it:"
    for change in plan.changes:
        verdict = "fits" if change.fits else "still too much"
        yield f"  {' '.join(change.settings) or 'nothing known'}: {gib(change.peak)} GiB, {verdict}"


def _tokens(plan: Plan) -> FittingTable:
    work = plan.work
    rows = [
        ("rollouts", f"{work.episodes}"),
        ("prefixes that are resampled", f"{work.prefixes:.3g}"),
        ("continuations", f"{work.grown:.4g}"),
        ("images", f"{work.images:.4g}"),
        ("sampled tokens", f"{work.sampled_tokens:,.0f}"),
        ("tokens of a prompt, images included", f"{work.prompt:,.0f}"),
        ("tokens behind it, in an episode", f"{work.response:,.0f}"),
        ("tokens that pass in the update", f"{work.passed_tokens(plan.config.policy.packing):,.0f}"),
        ("of padded rows it would be", f"{work.trained_share * work.row_tokens:,.0f}"),
    ]
    return FittingTable(title="A step", columns=("",), rows=tuple(rows))


def _times(plan: Plan) -> FittingTable:
    assert plan.times is not None
    whole = sum(plan.times.phases.values())
    rows = [
        (_PHASES[name], seconds_text(seconds), f"{seconds / whole:.0%}" if whole else "")
        for name, seconds in plan.times.phases.items()
        if seconds > 0
    ]
    rows.append(("a step", seconds_text(plan.times.step), ""))
    rows.append((f"{plan.config.steps} steps", seconds_text(plan.seconds or 0.0), ""))
    return FittingTable(title="Time", columns=("", "share"), rows=tuple(rows))


def seconds_text(seconds: float) -> str:
    """A duration for people."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _notes(plan: Plan) -> Iterator[str]:
    if plan.costs is None:
        yield "Time: nothing is known of this machine's speed. --measure measures it; --machine NAME is a data sheet."
    elif plan.placement.machine.tflops is not None and plan.costs.source == plan.placement.machine.source:
        assumed = ", ".join(f"{name} {value:g}" for name, value in plan.placement.machine.assumptions.items())
        yield f"Time is from a data sheet, not measured ({plan.costs.source}), with assumed shares: {assumed}."
    else:
        yield f"Time: {plan.costs.source}."
    guessed = [name for name, source in plan.work.sources.items() if source == ASSUMED]
    if guessed:
        yield f"Assumed of episodes: {', '.join(guessed)}. --task.NAME VALUE says better, --like RUN is a run's."
    yield "Evaluations and checkpoints are not counted."
