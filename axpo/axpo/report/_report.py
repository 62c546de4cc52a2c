"""Defines `write_report`, which makes one HTML page of a run or of a comparison, and `write_curves`, its picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from axpo.algorithm.methods import label_of, selects
from axpo.records import _atomic as atomic
from axpo.records._folder import CONFIG, RunLogError, is_checkpoint, is_run, is_sft_run
from axpo.records._jsonl import DamagedFileError, Record
from axpo.records._reading import read_changes, read_evaluations, read_steps
from axpo.records.outcomes import COMPARISON, Comparison, intervals_of, outcome_of, questions_of, read_comparison
from axpo.report._charts import write_picture
from axpo.report._dates import began, moment
from axpo.report._evaluation_charts import evaluation_charts, evaluations_note
from axpo.report._gallery import pick_branches, pick_examples, pick_pairs
from axpo.report._page import Legend, Page, render
from axpo.report._page_parts import (
    Measured,
    charts,
    charts_note,
    columns,
    measured_methods,
    rows,
    tiles,
)
from axpo.report._palette import roles
from axpo.report._panels import OPTIMIZATION, Line
from axpo.report._parts import part_charts, part_tables
from axpo.report._regime import default_regime
from axpo.report._run_settings import Settings
from axpo.settings.config import Cut

REPORT: Final = "report.html"
_COMPARISON_LEAD: Final = (
    "Agents that start from one checkpoint and learn from the same questions, measured on the same ones."
)
_METHOD_LEADS: Final = {
    "grpo": "GRPO learns from what it happens to sample.",
    "axpo": "AXPO also freezes the thought before a tool call that failed, and samples the call again.",
}
"""What is said of a method where it is compared."""
_CUTS: Final = {
    Cut.TOOL_CALL.value: "AXPO takes a rollout whose tool call failed, keeps its thought up to the opening of the call "
    "and samples the rest again.",
    Cut.QUESTION.value: "A rollout whose tool call failed is sampled again from its question; nothing of it is kept.",
    Cut.NO_TOOL.value: "A rollout that failed without calling a tool keeps its thought, and the rest is sampled again.",
}
"""What a run did to the rollouts that it resampled, by where it cut them."""
_RUN_LEAD: Final = "What one training run measured before, during and after its steps, and some of what the agent did."
_BRANCHES: Final = 3
_MOST_ROWS: Final = 8
"""Evaluations of a run that are rows of its table; of more, the first and the last are."""


def write_report(folder: Path) -> Path:
    """Writes `report.html` into the folder of a run or of a comparison; the page loads nothing from anywhere.

    Returns:
        The page's path.

    Raises:
        RunLogError: the folder is neither, is damaged, or cannot be written.
    """
    if not folder.is_dir():
        raise RunLogError(f"there is no folder {folder}")
    try:
        if (folder / COMPARISON).is_file():
            page = _comparison_page(folder)
        elif is_checkpoint(folder):
            run = folder.absolute().parent.parent
            raise RunLogError(f"{folder} is a checkpoint; the report is that of its run, {run}")
        elif is_run(folder):
            page = _run_page(folder)
        elif is_sft_run(folder):
            raise RunLogError(f"{folder} is a supervised run: reports are made of training runs and comparisons")
        else:
            raise RunLogError(f"{folder} is neither a run ({CONFIG}) nor a comparison ({COMPARISON})")
        atomic.write_text(folder / REPORT, render(page))
    except (OSError, SyntaxError, DamagedFileError) as error:
        raise RunLogError(f"cannot write the report of {folder}: {error}") from error
    return folder / REPORT


def write_curves(folder: Path, path: Path) -> None:
    """Writes the reward and tool-attempt curves of a comparison as a picture, SVG or PNG by the path's suffix.

    Raises:
        RunLogError: the folder is no comparison, or is damaged.
        ValueError: the suffix is neither.
        OSError: the file cannot be written.
    """
    write_picture(_lines(folder, read_comparison(folder)), path)


def _comparison_page(folder: Path) -> Page:
    comparison = read_comparison(folder)
    lines = _lines(folder, comparison)
    first = [folder / entry.runs[0].folder for entry in comparison.entries]
    beginnings = [
        began(folder / run.folder, steps)
        for line, entry in zip(lines, comparison.entries, strict=True)
        for run, steps in zip(entry.runs, line.runs, strict=True)
    ]
    settings = Settings.of(first[-1])
    albums = {line.label: Settings.of(run).album(run) for line, run in zip(lines, first, strict=True)}
    seeds = [str(run.seed) for run in comparison.entries[0].runs]
    leads = [lead for name, lead in _METHOD_LEADS.items() if name in {entry.name for entry in comparison.entries}]
    measured = measured_methods(comparison)
    return Page(
        title=" against ".join(line.label for line in reversed(lines)) if len(lines) == 2 else "Methods compared",
        name=folder.resolve().name,
        dates=_dates(beginnings),
        lead=" ".join((_COMPARISON_LEAD, *leads)),
        facts=(*settings.facts(), f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"),
        tiles=tiles(measured),
        columns=columns(measured),
        rows=rows(measured),
        table_note=_table_note(settings, read_evaluations(first[-1]), len(seeds)),
        legend=tuple(Legend(label=line.label, role=line.role) for line in lines),
        charts=charts(lines),
        charts_note=charts_note(len(seeds)),
        regime=default_regime() if settings.is_default() else None,
        branches=tuple(view for album in albums.values() for view in pick_branches(album))[:_BRANCHES],
        branches_note=_branches_note([Settings.of(run) for run in first]),
        pairs=pick_pairs(albums),
        examples=(),
        config=settings.text,
        machine=comparison.machine,
        optimization=charts(lines, OPTIMIZATION),
        evaluations=evaluation_charts(_lines(folder, comparison, read_evaluations)),
        evaluations_note=evaluations_note(len(seeds)),
    )


def _run_page(folder: Path) -> Page:
    settings, steps, evaluations = Settings.of(folder), read_steps(folder), read_evaluations(folder)
    album = settings.album(folder)
    method = str(settings["method"])
    label, role = label_of(method), roles([method])[0]
    measured = [_measured(record, steps, role) for record in evaluations]
    ends = [*measured[:1], *measured[1:][-1:]]
    shown = measured if len(measured) <= _MOST_ROWS else ends
    lines = [Line(label=label, role=role, runs=(tuple(steps),))]
    done = steps[-1]["step"] if steps else 0
    state = () if done == settings["steps"] else (f"{done} steps done so far",)
    return Page(
        title=f"{label} run",
        name=folder.resolve().name,
        dates=_dates([began(folder, steps)]),
        lead=_RUN_LEAD,
        facts=(*settings.facts(), f"seed {settings['seed']}", *state, *_changes(folder)),
        tiles=tiles(ends),
        columns=columns(shown),
        rows=rows(shown),
        table_note=_table_note(settings, evaluations, 1),
        legend=tuple(Legend(label=line.label, role=line.role) for line in lines),
        charts=charts(lines),
        charts_note=charts_note(1),
        regime=None,
        branches=pick_branches(album),
        branches_note=_branches_note([settings]),
        pairs=(),
        examples=pick_examples(album),
        config=settings.text,
        machine={},
        optimization=charts(lines, OPTIMIZATION),
        evaluations=evaluation_charts([Line(label=label, role=role, runs=(tuple(evaluations),))]),
        evaluations_note=evaluations_note(1),
        tables=part_tables(evaluations[-1] if evaluations else None),
        parts=part_charts(steps),
    )


def _measured(evaluation: Record, steps: Sequence[Record], role: str) -> Measured:
    """An evaluation of a run, and what its steps had cost by then."""
    step = evaluation["step"]
    return Measured(
        label="Start" if step == 0 else f"Step {step}",
        role="start" if step == 0 else role,
        outcome=outcome_of(evaluation, [record for record in steps if record["step"] <= step]),
        intervals=intervals_of(evaluation),
    )


def _lines(folder: Path, comparison: Comparison, read: Callable[[Path], Sequence[Record]] = read_steps) -> list[Line]:
    """The methods, and what is read of each of their runs."""
    names = [entry.name for entry in comparison.entries]
    return [
        Line(
            label=label_of(entry.name),
            role=role,
            runs=tuple(tuple(read(folder / run.folder)) for run in entry.runs),
        )
        for entry, role in zip(comparison.entries, roles(names), strict=True)
    ]


def _dates(beginnings: Sequence[datetime | None]) -> tuple[str, ...]:
    """When the first of some runs began, if that is known of all, and that the page is made now."""
    known = [each for each in beginnings if each is not None]
    first = (f"Began {moment(min(known))}",) if known and len(known) == len(beginnings) else ()
    return (*first, f"Report made {moment(datetime.now(UTC))}")


def _table_note(settings: Settings, evaluations: Sequence[Record], seeds: int) -> str:
    last = evaluations[-1] if evaluations else {"questions": settings["log.eval_questions"]}
    measured = f"Shares are measured on {questions_of(last)}, {settings['log.eval_samples']} rollouts each"
    spread = (
        f"; mean ± standard deviation over {seeds} seeds" if seeds > 1 else "; bars carry 95 % intervals over questions"
    )
    many = len(evaluations) > _MOST_ROWS
    chosen = f" ({last['split_note']})" if last.get("split_note") else ""
    between = " Evaluations between the first and the last are in the curves below." if many else ""
    return f"{measured}{chosen}{spread}. Rollouts, tokens and seconds are those of training.{between}"


def _branches_note(settings: Sequence[Settings]) -> str:
    """What was frozen, by what the runs were told to freeze."""
    cuts = dict.fromkeys(str(each["selection.cut"]) for each in settings if selects(str(each["method"])))
    return " ".join(_CUTS[cut] for cut in cuts if cut in _CUTS)


def _changes(folder: Path) -> tuple[str, ...]:
    """Settings that were changed when the run was resumed."""
    return tuple(
        f"{name} changed from {values['before']} to {values['after']} at step {change['step']}"
        for change in read_changes(folder)
        for name, values in change["settings"].items()
    )
