"""Defines `axpo audit`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import tyro
from rich.console import Console
from rich.text import Text

from axpo.audit.audit import AuditSettings, Findings, audit
from axpo.audit.conditions import Change, Expression, Measured, fell
from axpo.audit.figures import figures, measured_of
from axpo.audit.sources import FORMATS
from axpo.audit.tally import METRICS, PASS_KS
from axpo.audit.verdict import verdict
from axpo.commands._measuring import part_tables
from axpo.commands.arguments import check_output, parse, write_json
from axpo.diagnostics.estimates import Estimate
from axpo.diagnostics.registry import metric_named
from axpo.settings.config import ConfigError
from axpo.settings.config_file import checked
from axpo.settings.values import Number
from axpo.terminal.fitting_table import FittingTable
from axpo.terminal.unfailing import Unfailing
from axpo_envs.plumbing.printable import printable

_CONDITION_HOLDS: Final = 3
"""Exit code where `--fail-if` holds, or something surely fell against the baseline."""
_KNOWN: Final = dict.fromkeys((*METRICS, *(f"pass{k}" for k in PASS_KS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditArguments:
    """Say what rollouts of any trainer or harness tell about acting: does the policy call its tools, and does it pay?

    Reads files and folders: JSONL, JSON, Parquet and inspect_ai's .eval. Exits with 3 where `--fail-if` holds, or a
    metric is surely worse than in the baseline.
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Files or folders of rollouts."""
    format: str | None = None
    """axpo, inspect, verifiers, trl, verl, chat or search-r1; by default found out, file by file."""
    group_by: str | None = None
    """Field whose value tells questions apart (dots go deeper); by default an id, else the prompt."""
    reward: str | None = None
    """Field that holds the reward (dots go deeper)."""
    split_by: str | None = None
    """Field that tells environments apart (dots go deeper); by default `environment`, `data_source` and their like."""
    tools: tuple[str, ...] = ()
    """Names and aliases of tools, beside those that records declare."""
    success_threshold: Number = 0.5
    """A rollout with a reward below it is wrong."""
    json: Path | None = None
    """Write everything to this file."""
    html: Path | None = None
    """Write a page with charts and example rollouts to this file; it opens offline."""
    fail_if: tuple[str, ...] = ()
    """Exit with 3 where this holds, such as 'tool_attempt_rate<0.2 or dead_groups.low>0.5'; of a part, such as
    'pass1[environment=maps]<0.5', 'tool_attempt_rate[tool=search]<0.1', [hops=2] or [steps=last]; * is any part."""
    against: Path | None = None
    """A file that `--json` wrote: say what fell since, and exit with 3 where the intervals do not overlap."""


def run(arguments: Sequence[str]) -> int:
    """Audits; returns the exit code."""
    given = checked(parse(AuditArguments, "audit", arguments))
    if not given.files:
        raise ConfigError("files: expected files or folders of rollouts; got none")
    check_output(given.json)
    check_output(given.html, "html")
    settings = AuditSettings(
        format=given.format,
        group_by=given.group_by,
        reward=given.reward,
        split_by=given.split_by,
        tools=tuple(name for text in given.tools for name in text.split(",") if name),
        success_threshold=given.success_threshold,
    )
    baseline = None if given.against is None else _baseline(given.against)
    expressions = [Expression.read(text, _KNOWN) for text in given.fail_if]
    findings = audit(given.files, settings)
    record = figures(findings, settings)
    measured = measured_of(record)
    broken = [expression.text for expression in expressions if expression.holds(measured)]
    changes = () if baseline is None else fell(baseline, measured)
    write_json(given.json, {**record, "fell": [_change(change) for change in changes]})
    if given.html is not None:
        # Charts and pages take a while to import.
        from axpo.report._audit_page import write_audit

        write_audit(given.html, given.files, settings, findings)
    judged = [*_fallen(changes, compared=baseline is not None), *(f"--fail-if holds: {text}" for text in broken)]
    Unfailing()(_show, findings, record, judged)
    return _CONDITION_HOLDS if broken or any(change.is_certain for change in changes) else 0


def _baseline(path: Path) -> Measured:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return measured_of(record if isinstance(record, dict) else {})
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"against: expected a file that `axpo audit --json` wrote; {path}: {error}") from None


def _change(change: Change) -> dict[str, Any]:
    return {
        "metric": change.metric,
        "part": change.part,
        "before": change.before,
        "after": change.after,
        "certain": change.is_certain,
    }


def _show(findings: Findings, record: Mapping[str, Any], judged: Sequence[str]) -> None:
    console = Console()
    formats = ", ".join(sorted({FORMATS[name].label for name in findings.files.values()}))
    console.print(f"{findings.rollouts} rollouts of {findings.questions} questions ({formats})", highlight=False)
    if findings.unscored:
        console.print(f"{findings.unscored} rollouts have no reward: they count in what needs none.", highlight=False)
    if findings.unreadable:
        console.print(f"{findings.unreadable} records could not be read:", highlight=False)
        for place, reason in findings.problems[:5]:
            console.print(Text(printable(f"  {place}: {reason}")))
    console.print()
    for sentence in verdict(findings):
        console.print(Text(f"* {sentence}"))
    for kind, places in findings.examples.items():
        console.print(Text(printable(f"  {kind}, for example: {', '.join(places[:2])}")))
    rows = tuple(
        (name, *_cells(found))
        for name, found in findings.metrics.items()
        if found is not None or not metric_named(name).optional
    )
    console.print(FittingTable(title="", columns=("value", "95\u00a0% interval", "n"), rows=rows))
    for table in part_tables(record):
        console.print(table)
    for sentence in judged:
        console.print(Text(printable(sentence)))


def _fallen(changes: Sequence[Change], *, compared: bool) -> Iterator[str]:
    for change in changes:
        sure = "fell" if change.is_certain else "may have fallen"
        name = f"{change.metric}[{change.part}]" if change.part else change.metric
        yield f"{name} {sure}: {change.before:.3f} before, {change.after:.3f} now"
    if compared and not changes:
        yield "Nothing fell against the baseline."


def _cells(found: Estimate | None) -> tuple[str, str, str]:
    if found is None:
        return "-", "", "0"
    interval = "" if found.low is None else f"{found.low:.3f} to {found.high:.3f}"
    return f"{found.value:.3f}", interval, str(found.n)
