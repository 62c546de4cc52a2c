"""Defines how arms are compared from rows: values by seed at a point of training, and differences paired by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from axpo.diagnostics.estimates import Estimate
from axpo_benchmarks.evidence._job import END
from axpo_benchmarks.evidence.looking import SAMPLED
from axpo_benchmarks.evidence.rows import Row
from axpo_benchmarks.evidence.statistics import Paired, over_questions, over_seeds, paired

Rows = Mapping[str, Mapping[int, Row]]
"""The rows of one family: by arm, then by seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """An arm at a point of training."""

    arm: str
    """Its name."""
    at: str = END
    """Which of its evaluations: `end`, or `equal_tokens` and the like."""


def equal_work(arm: str) -> Mapping[str, Point]:
    """Where an arm is when it has spent as much as another one, by what is equal: after as many steps, and along its
    longer run."""
    spent = {"rollouts": "equal_rollouts", "tokens": "equal_tokens", "processor time": "equal_cpu_seconds"}
    return {"steps": Point(arm=arm)} | {name: Point(arm=f"{arm}_longer", at=at) for name, at in spent.items()}


def by_arm(rows: Iterable[Row], family: str) -> Rows:
    """The rows of a family; of several rows for one arm and seed the last one."""
    found: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row["family"] == family:
            found.setdefault(row["arm"], {})[row["seed"]] = row
    return found


def values(rows: Rows, point: Point, metric: str, sampling: str = SAMPLED) -> dict[int, float]:
    """What full evaluations found, by seed; seeds without it are left out."""
    found = {}
    for seed, row in sorted(rows.get(point.arm, {}).items()):
        record = _evaluation(row, point.at, sampling)
        value = None if record is None else record["metrics"].get(metric)
        if value is not None:
            found[seed] = float(value[0])
    return found


def mean_of(rows: Rows, point: Point, metric: str, sampling: str = SAMPLED) -> Estimate | None:
    """The mean over seeds, with its interval."""
    return over_seeds(list(values(rows, point, metric, sampling).values()))


def difference(rows: Rows, one: Point, other: Point, metric: str, sampling: str = SAMPLED) -> Paired | None:
    """One less the other, over the seeds that both have."""
    ours, theirs = (values(rows, point, metric, sampling) for point in (one, other))
    return paired([ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())])


def question_difference(rows: Rows, one: Point, other: Point) -> Estimate | None:
    """One's Pass@1 less the other's, with its interval over questions."""
    found = []
    for seed in sorted(rows.get(one.arm, {}).keys() & rows.get(other.arm, {}).keys()):
        records = [_evaluation(rows[point.arm][seed], point.at, SAMPLED) for point in (one, other)]
        if all(record is not None and "right" in record for record in records):
            found.append([record for record in records if record is not None])
    samples = {record["samples"] for records in found for record in records}
    if len(samples) != 1:
        return None
    ones, others = ([records[place]["right"] for records in found] for place in (0, 1))
    return over_questions(ones, others, samples.pop())


def family_mean_difference(families: Sequence[Rows], one: Point, other: Point, metric: str) -> Paired | None:
    """One less the other, averaged over families seed by seed; None unless every family has both."""
    each = []
    for rows in families:
        ours, theirs = values(rows, one, metric), values(rows, other, metric)
        each.append({seed: ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys()})
    seeds = sorted(set.intersection(*map(set, each))) if each else []
    return paired([sum(one_family[seed] for one_family in each) / len(each) for seed in seeds])


def curve_mean(row: Row, metric: str, *, first: int = 0, last: int | None = None) -> float | None:
    """The mean of a diagnostic over the windows of a row's curve that end behind step `first` and up to `last`."""
    curve = row.get("curve", {})
    pairs = zip(curve.get("step", ()), curve.get(metric, ()), strict=True)
    known = [value for step, value in pairs if value is not None and first < step <= (last or step)]
    return sum(known) / len(known) if known else None


def _evaluation(row: Row, at: str, sampling: str) -> Row | None:
    for record in row["evaluations"]:
        if record["at"] == at and record["sampling"] == sampling:
            found: Row = record
            return found
    return None
