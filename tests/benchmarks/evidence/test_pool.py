from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from axpo_benchmarks.evidence.cells import Cell
from axpo_benchmarks.evidence.plan import Planned, planned_cell
from axpo_benchmarks.evidence.pool import Place, Pool
from axpo_benchmarks.evidence.rows import read_rows

# Stands for the process of a cell: it counts its starts, fails for the arm cispo, goes on for ever for dapo.
PROGRAM = """
import json, os, signal, sys, time
folder = sys.argv[1]
job = json.load(open(f"{folder}/job.json"))
cell = job["cell"]
with open(f"{folder}/starts", "a") as file:
    file.write(os.environ["OMP_NUM_THREADS"])
if cell["arm"] == "cispo":
    sys.exit(3)
if cell["arm"] == "dapo":
    signal.signal(signal.SIGTERM, lambda *_: (open(f"{folder}/saved", "w"), sys.exit(130)))
    open(f"{folder}/under_way", "w")
    while True:
        time.sleep(0.01)
row = {"format": 1, "cell": job["identity"], "family": "toy", "arm": cell["arm"], "seed": cell["seed"]}
row |= {"rollouts": 1, "tokens": 2, "cpu_seconds": 3, "evaluations": [], "until": job["until"]}
json.dump(row, open(f"{folder}/row.json", "w"))
"""


@pytest.fixture
def pool(tmp_path: Path) -> Callable[..., Pool]:
    def make(planned: list[Planned], workers: int = 2) -> Pool:
        place = Place(out=tmp_path / "out", rows=tmp_path / "rows", command="c", workers=workers)
        return Pool(planned, place, program=(sys.executable, "-c", PROGRAM))

    return make


def test_cells_run_in_order_with_one_thread_and_never_twice(
    cell: Callable[..., Cell], pool: Callable[..., Pool], tmp_path: Path
) -> None:
    # The longer run comes first in the plan and waits for both others.
    planned = [planned_cell(cell(arm)) for arm in ("grpo_longer", "axpo", "grpo")]
    pool(planned).run()
    rows = {row["arm"]: row for row in read_rows(tmp_path / "rows")}
    assert rows["grpo_longer"]["until"] == {"rollouts": 1.0, "tokens": 2.0, "cpu_seconds": 3.0}
    assert set(rows) == {"grpo_longer", "axpo", "grpo"}
    pool(planned).run()
    assert [path.read_text() for path in (tmp_path / "out").glob("*/starts")] == ["1", "1", "1"]


def test_a_cell_that_fails_is_named_and_those_behind_it_run(
    cell: Callable[..., Cell], pool: Callable[..., Pool], tmp_path: Path
) -> None:
    planned = [planned_cell(cell(arm)) for arm in ("cispo", "grpo")]
    running = pool(planned, workers=1)
    running.run()
    assert list(running.failed) == [planned[0].identity]
    assert "exit code 3" in running.failed[planned[0].identity]
    assert [row["arm"] for row in read_rows(tmp_path / "rows")] == ["grpo"]


def test_when_time_is_up_what_is_under_way_is_asked_to_save_itself(
    cell: Callable[..., Cell], pool: Callable[..., Pool], tmp_path: Path
) -> None:
    planned = [planned_cell(cell("dapo"))]
    out = tmp_path / "out" / planned[0].identity
    running = pool(planned)
    running.run(minutes=1e-9)
    assert not out.exists()
    running.run(minutes=0.05)
    assert (out / "saved").exists() is (out / "under_way").exists() is True
    assert read_rows(tmp_path / "rows") == ()


def test_a_row_whose_process_ended_after_the_command_was_killed_is_taken_in(
    cell: Callable[..., Cell], pool: Callable[..., Pool], tmp_path: Path
) -> None:
    planned = planned_cell(cell("grpo"))
    folder = tmp_path / "out" / planned.identity
    folder.mkdir(parents=True)
    row = {"format": 1, "cell": planned.identity, "family": "toy", "arm": "grpo", "seed": 0, "evaluations": []}
    (folder / "row.json").write_text(json.dumps(row))
    pool([planned]).run()
    assert len(read_rows(tmp_path / "rows")) == 1
    assert not (folder / "starts").exists()
