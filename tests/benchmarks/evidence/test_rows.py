from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from axpo.settings.config import ConfigError
from axpo_benchmarks.evidence.curve import curve_of
from axpo_benchmarks.evidence.rows import COMMITTED, TOLD, Row, append_row, read_rows


def test_rows_stand_by_family_and_arm_and_the_newest_of_a_cell_holds(row: Callable[..., Row], tmp_path: Path) -> None:
    for one in (row("grpo", 0), row("axpo", 0), row("grpo", 1), row("grpo", 0, tokens=7)):
        append_row(tmp_path, one)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jsonl")) == [
        "toy/axpo.jsonl",
        "toy/grpo.jsonl",
    ]
    found = {(one["arm"], one["seed"]): one["tokens"] for one in read_rows(tmp_path)}
    assert found == {("axpo", 0): 100, ("grpo", 0): 7, ("grpo", 1): 100}


@pytest.mark.parametrize(
    "line", [b'{"format": 1}', b"{", b'{"format": 99, "cell": "x"}', b"", b"\xff\xfe", b"[]", b"[" * 99_999]
)
def test_a_line_that_is_no_row_is_named(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(line + b"\n")
    with pytest.raises(ConfigError, match=r"a\.jsonl:1: expected a row of"):
        read_rows(tmp_path)


def test_a_row_that_lacks_what_the_page_tells_is_named_with_the_field(row: Callable[..., Row], tmp_path: Path) -> None:
    append_row(tmp_path, row("grpo", 0))
    with pytest.raises(ConfigError, match=r"toy/grpo\.jsonl:1: .* with the field asked_steps \(int\); got None"):
        read_rows(tmp_path, TOLD)
    assert read_rows(COMMITTED, TOLD)


def test_committed_rows_are_rows() -> None:
    assert len({row["cell"] for row in read_rows(COMMITTED)}) == len(read_rows(COMMITTED))


def test_a_curve_is_means_over_windows_and_totals_at_their_ends() -> None:
    steps = [
        {
            "step": step,
            "reward_mean": step / 10,
            "recovery_rate": 0.5 if step == 2 else None,
            **{f"total_{name}": 10.0 * step for name in ("rollouts", "tokens", "trained_tokens", "seconds")},
        }
        for step in range(1, 8)
    ]
    curve = curve_of(steps, dict.fromkeys(range(1, 8), 1.0))
    assert curve["step"] == [5, 7]
    assert curve["reward_mean"] == [0.3, 0.65]
    assert curve["recovery_rate"] == [0.5, None]
    assert curve["total_tokens"] == [50.0, 70.0]
    assert curve["total_cpu_seconds"] == [5.0, 7.0]
