"""Defines the sections of the report; every sentence with a figure in it is made from rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Final

from axpo.diagnostics.estimates import Estimate
from axpo_benchmarks.evidence.arms import START, TIERS, arm_named
from axpo_benchmarks.evidence.claims import CLAIMS, VERDICTS, Claim
from axpo_benchmarks.evidence.comparing import (
    Point,
    Rows,
    curve_mean,
    difference,
    equal_work,
    family_mean_difference,
    mean_of,
    question_difference,
    values,
)
from axpo_benchmarks.evidence.looking import GREEDY, PAPER, SAMPLED
from axpo_benchmarks.evidence.markdown import line, mean_cell, signed_cell
from axpo_benchmarks.evidence.phase_map import grpo_state
from axpo_benchmarks.evidence.rows import Row
from axpo_benchmarks.evidence.statistics import Paired

_ORDER: Final = tuple(name for tier in TIERS for name in tier)
_AXPO: Final = Point(arm="axpo")
_GRPO: Final = Point(arm="grpo")
_COMPARED: Final = ((_AXPO, _GRPO), (Point(arm="axpo_idle"), _AXPO))
"""The arms whose work is made equal, the one and the one that is gone on with."""
_COLUMNS: Final = (
    ("Pass@1", SAMPLED, "pass1"),
    ("Pass@4", SAMPLED, "pass4"),
    ("greedy", GREEDY, "pass1"),
    ("paper's sampling: Pass@1", PAPER, "pass1"),
    ("Pass@4", PAPER, "pass4"),
    ("tool-attempt rate", SAMPLED, "tool_attempt_rate"),
    ("all-wrong tool subgroups", SAMPLED, "all_wrong_tool_subgroups"),
)
_SPENT: Final = (("rollouts", "rollouts"), ("tokens", "tokens"), ("processor s", "cpu_seconds"), ("clock s", "seconds"))
_EARLY: Final = 30
"""Steps that count as early."""


def orderings_section(families: Mapping[str, Rows], labels: Mapping[str, str]) -> str:
    """Which of the paper's orderings hold in which family."""
    lines = [
        "## Which of the paper's orderings hold",
        "",
        line("", "paper, 8B", *(labels[name] for name in families)),
        line("---", "---", *("---" for _ in families)),
    ]
    counted: Counter[str] = Counter()
    for claim in CLAIMS:
        found = [_of(claim, rows) for rows in families.values()]
        counted.update(one.verdict for one in found if one is not None)
        lines.append(line(claim.text, claim.paper, *map(_verdict, found)))
    told = f"{counted['more']} hold, the reverse of {counted['less']}, {counted['open']} open"
    measured = f"Of {sum(counted.values())} orderings that were measured: {told}." if counted else ""
    return "\n".join([*lines, "", measured]).strip()


def _of(claim: Claim, rows: Rows) -> Paired | None:
    return difference(rows, claim.more, claim.less, claim.metric)


def _verdict(found: Paired | None) -> str:
    return "not run" if found is None else f"{VERDICTS[found.verdict]}: {signed_cell(found)} ({found.n} seeds)"


def family_section(name: str, label: str, rows: Rows) -> str:
    """Every arm of a family: what it came to, and its difference to GRPO and to AXPO."""
    lines = [f"## {label}", "", f"![Training and held-out curves of {label}](figures/{name}.svg)", ""]
    heads = (*(head for head, *_ in _COLUMNS), "seeds that lost the tool", *(head for head, _ in _SPENT))
    lines += [line("", "seeds", *heads), line("---", "---", *("---" for _ in heads))]
    named = (*_ORDER, *sorted(rows.keys() - set(_ORDER)))
    arms = [arm for arm in named if arm in rows and not (arm_named(arm).longer_than or arm_named(arm).after)]
    for arm in arms:
        cells = [mean_cell(mean_of(rows, Point(arm=arm), metric, sampling)) for _, sampling, metric in _COLUMNS]
        spent = [_spent(list(rows[arm].values()), name) for _, name in _SPENT]
        lines.append(line(arm_named(arm).label, str(len(rows[arm])), *cells, _lost(list(rows[arm].values())), *spent))
    lines += [
        "",
        *_by_seed(rows, arms),
        "",
        "Differences after as many steps, paired by seed:",
        "",
        *_differences(rows, arms),
    ]
    return "\n".join(lines)


def _by_seed(rows: Rows, arms: Sequence[str]) -> Iterator[str]:
    """Every seed by itself: where some lose the tool and others find it, means say little."""
    seeds = sorted({seed for arm in arms for seed in rows[arm]})
    yield "Pass@1 (tool-attempt rate) by seed:"
    yield ""
    yield line("", *map(str, seeds))
    yield line("---", *("---" for _ in seeds))
    for arm in arms:
        right, calls = (values(rows, Point(arm=arm), metric) for metric in ("pass1", "tool_attempt_rate"))
        cells = (f"{right[seed]:.2f} ({calls[seed]:.2f})" if seed in right and seed in calls else "" for seed in seeds)
        yield line(arm_named(arm).label, *cells)


def _lost(rows: Sequence[Row]) -> str:
    """How many seeds end with less than half of the start's tool-attempt rate, by their marks."""
    known = [row for row in rows if row.get("marks")]
    return f"{sum(grpo_state(row) == 'collapse' for row in known)} of {len(known)}" if known else ""


def _differences(rows: Rows, arms: Sequence[str]) -> Iterator[str]:
    heads = ("Pass@1 less GRPO's", "p", "d", "Pass@4 less GRPO's", "Pass@1 less AXPO's", "p", "d", "Pass@4 less AXPO's")
    yield line("", "seeds", *heads)
    yield line("---", "---", *("---" for _ in heads))
    for arm in arms:
        if arm == START:
            continue
        cells = []
        for baseline in (_GRPO, _AXPO):
            one = Point(arm=arm)
            found = None if baseline == one else difference(rows, one, baseline, "pass1")
            four = None if baseline == one else difference(rows, one, baseline, "pass4")
            cells += [signed_cell(found), _p(found), _d(found), signed_cell(four)]
        yield line(arm_named(arm).label, str(len(rows[arm])), *cells)


def equal_sections(rows: Rows) -> Iterator[str]:
    """One arm less another where both have spent the same: AXPO and GRPO, and ours and AXPO where it was run."""
    for one, other in _COMPARED:
        if one == _AXPO or one.arm in rows:
            yield _equal_section(rows, one, other)


def _equal_section(rows: Rows, one: Point, other: Point) -> str:
    name_of = {point: arm_named(point.arm).label for point in (one, other)}
    lines = [
        f"### {name_of[one]} less {name_of[other]} at equal work",
        "",
        line(
            "equal",
            "seeds",
            f"{name_of[other]}'s steps",
            "Pass@1",
            "over questions",
            "p (floor)",
            "d",
            "Pass@4",
            "tool-attempt rate",
        ),
        line(*["---"] * 9),
    ]
    for name, point in equal_work(other.arm).items():
        found = difference(rows, one, point, "pass1")
        if found is None:
            lines.append(line(name, "not run", *[""] * 7))
            continue
        questions = question_difference(rows, one, point)
        others = [signed_cell(difference(rows, one, point, metric)) for metric in ("pass4", "tool_attempt_rate")]
        p = f"{found.p:.3g} ({found.floor:.3g})"
        cells = (_steps(rows, point), signed_cell(found), _interval(questions), p, _d(found), *others)
        lines.append(line(name, str(found.n), *cells))
    return "\n".join(lines)


def dynamics_section(rows: Rows) -> str:
    """What happened in training: resampling, recovery, and subgroups before and after it."""
    columns = (
        ("tool-attempt rate", "tool_attempt_rate"),
        ("all-wrong before", "all_wrong_tool_subgroups"),
        ("all-wrong after", "all_wrong_after_resampling"),
        ("flipped", "flipped_subgroups"),
        ("recovery rate", "recovery_rate"),
        ("prefixes a step", "selected_prefixes"),
        ("continuations right", "continuation_pass1"),
        ("dead groups", "dead_groups"),
    )
    heads = [f"{head}, {when}" for head, _ in columns for when in (f"to {_EARLY}", "behind")]
    lines = [
        "### What happened in training",
        "",
        f"Means over steps up to {_EARLY}, and behind, of all seeds. The paper reports 12 % flipped.",
        "",
        line("", *heads),
        line("---", *("---" for _ in heads)),
    ]
    for arm in [arm for arm in _ORDER if arm in rows and arm != START and not arm_named(arm).longer_than]:
        found = list(rows[arm].values())
        cells = [
            _over(found, metric, first, last) for _, metric in columns for first, last in ((0, _EARLY), (_EARLY, None))
        ]
        lines.append(line(arm_named(arm).label, *cells))
    return "\n".join(lines)


def means_section(families: Mapping[str, Rows]) -> str:
    """Every arm against AXPO and GRPO, on the mean of all families."""
    lines = [
        "## On the mean of the families",
        "",
        "Seeds that every family has, averaged over families first.",
        "",
        line("", "Pass@1 less AXPO's", "p", "Pass@1 less GRPO's", "p", "Pass@4 less AXPO's", "seeds"),
        line(*["---"] * 7),
    ]
    for arm in _ORDER:
        one, each = Point(arm=arm), list(families.values())
        axpo, grpo = (family_mean_difference(each, one, other, "pass1") for other in (_AXPO, _GRPO))
        four = family_mean_difference(each, one, _AXPO, "pass4")
        if arm not in (START, "axpo") and axpo is not None:
            lines.append(
                line(
                    arm_named(arm).label,
                    signed_cell(axpo),
                    _p(axpo),
                    signed_cell(grpo),
                    _p(grpo),
                    signed_cell(four),
                    str(axpo.n),
                )
            )
    return "\n".join(lines)


def provenance_section(rows: Sequence[Row]) -> str:
    """With what the rows were made."""
    lines = ["## With what this was made", "", line("", "rows"), line("---", "---")]
    for name, told in (
        ("machine", lambda row: f"{row['machine']}, {row['workers']} cells side by side"),
        ("commit", lambda row: row["commit"]),
        ("start", lambda row: f"{row['start']} ({row['start_hash']})"),
        ("versions", lambda row: ", ".join(f"{package} {number}" for package, number in row["versions"].items())),
    ):
        counted = Counter(map(told, rows))
        lines += [line(f"{name}: {value}", str(count)) for value, count in counted.most_common()]
    dates = sorted(row["date"] for row in rows)
    return "\n".join([*lines, "", f"Run from {dates[0]} to {dates[-1]}."]) if dates else ""


def _interval(found: Estimate | None) -> str:
    return "" if found is None or found.low is None else f"{found.low:+.3f} to {found.high:+.3f}"


def _p(found: Paired | None) -> str:
    return "" if found is None else f"{found.p:.3g}"


def _d(found: Paired | None) -> str:
    return "" if found is None or found.effect is None else f"{found.effect:+.1f}"


def _spent(rows: Sequence[Row], name: str) -> str:
    known = [row[name] for row in rows if name in row]
    return f"{fmean(known):,.0f}" if known else ""


def _steps(rows: Rows, point: Point) -> str:
    steps = [
        record["step"]
        for row in rows.get(point.arm, {}).values()
        for record in row["evaluations"]
        if record["at"] == point.at and record["sampling"] == SAMPLED
    ]
    return f"{fmean(steps):.0f}" if steps else ""


def _over(rows: Sequence[Row], metric: str, first: int, last: int | None) -> str:
    known = [value for row in rows if (value := curve_mean(row, metric, first=first, last=last)) is not None]
    return f"{fmean(known):.2f}" if known else ""
