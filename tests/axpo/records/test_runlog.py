import errno
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from axpo.algorithm.types import Group
from axpo.records._jsonl import JsonLines
from axpo.records.run_log import RunLog, RunLogError, read_steps


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "main"


def steps_on_disk(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_create_writes_the_config_and_steps_come_back_as_written(folder: Path) -> None:
    with RunLog.create(folder, "steps = 3\n", tensorboard=False) as log:
        log.append_step({"step": 1, "reward": 0.1 + 0.2, "recovery_rate": None})
        log.append_step({"step": 2, "reward": 1.0, "recovery_rate": 0.5})
        assert log.steps() == [
            {"step": 1, "reward": 0.1 + 0.2, "recovery_rate": None},
            {"step": 2, "reward": 1.0, "recovery_rate": 0.5},
        ]
    assert (folder / "config.toml").read_text() == "steps = 3\n"


def test_create_refuses_a_folder_that_holds_something(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("precious")
    with pytest.raises(RunLogError, match=r"must be new or empty; it holds thesis\.tex"):
        RunLog.create(folder, "")
    assert (folder / "thesis.tex").read_text() == "precious"


def test_create_tells_how_to_continue_a_run_that_is_there(folder: Path) -> None:
    RunLog.create(folder, "").close()
    with pytest.raises(RunLogError, match=r"holds a run already: continue it .axpo train --resume"):
        RunLog.create(folder, "")


def test_create_ignores_what_a_process_killed_in_create_left(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / ".partial-123-config.toml").write_text("ste")
    RunLog.create(folder, "steps = 1\n").close()
    assert (folder / "config.toml").read_text() == "steps = 1\n"


def test_open_removes_what_killed_processes_left(folder: Path) -> None:
    RunLog.create(folder, "").close()
    (folder / "checkpoints" / "step-000002").mkdir(parents=True)
    # One was killed while it removed a checkpoint, one while it saved rollouts.
    for leftover in (folder / "checkpoints" / ".partial-step-000001", folder / "rollouts" / ".partial-9-step-000002"):
        leftover.mkdir(parents=True)
        (leftover / "half").write_bytes(b"half")
    RunLog.open(folder).close()
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-000002"]
    assert list((folder / "rollouts").iterdir()) == []


def test_open_refuses_a_folder_that_is_no_run(folder: Path) -> None:
    with pytest.raises(RunLogError, match=r"no run folder: it has no config\.toml"):
        RunLog.open(folder)


def test_a_run_is_open_in_one_place_at_a_time(folder: Path) -> None:
    with RunLog.create(folder, ""), pytest.raises(RunLogError, match="another process is writing"):
        RunLog.open(folder)
    RunLog.open(folder).close()


@given(kept=st.integers(1, 3), torn=st.integers(0, 120))
def test_a_line_torn_anywhere_is_dropped_and_the_whole_lines_stay(
    tmp_path_factory: pytest.TempPathFactory, kept: int, torn: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    writer = JsonLines(path)
    for step in range(1, kept + 2):
        writer.append({"step": step, "reward": 0.5, "recovery_rate": None})
    lines = path.read_text().splitlines(keepends=True)
    last = lines[kept][:torn]
    path.write_text("".join(lines[:kept]) + last)
    whole = kept + 1 if last.rstrip() == lines[kept].rstrip() else kept
    log = JsonLines(path)
    assert [record["step"] for record in log.read()] == list(range(1, whole + 1))
    log.append({"step": 99})
    assert path.read_text().startswith("".join(lines[:whole]) + '{"step": 99, "chain": "')
    assert len(JsonLines(path).read()) == whole + 1


def test_opening_a_run_removes_a_torn_last_line(folder: Path) -> None:
    with RunLog.create(folder, "", tensorboard=False) as log:
        log.append_step({"step": 1})
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "rew')
    assert [record["step"] for record in read_steps(folder)] == [1]
    with RunLog.open(folder, tensorboard=False) as log:
        assert (folder / "metrics.jsonl").read_text().count("\n") == 1
        assert log.last_step == 1


def test_damage_before_the_last_line_is_an_error_that_names_the_line(folder: Path) -> None:
    with RunLog.create(folder, "", tensorboard=False) as log:
        for step in (1, 2, 3):
            log.append_step({"step": step})
    lines = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_bytes(lines[0] + b"\0\0\0\n" + lines[2])
    with pytest.raises(RunLogError, match=r"metrics\.jsonl, line 2: expected a JSON object"):
        RunLog.open(folder)


def test_nan_and_infinity_are_stored_as_null(folder: Path) -> None:
    with RunLog.create(folder, "") as log:
        log.append_step({"step": 1, "kl": math.nan, "grad_norm": math.inf, "reward": 0.0})
        log.append_evaluation({"step": 1, "metrics": {"pass1": {"value": 0.5, "n": 3, "low": math.nan, "high": 1.0}}})
    assert read_steps(folder) == [{"step": 1, "kl": None, "grad_norm": None, "reward": 0.0}]
    assert json.loads((folder / "evaluations.jsonl").read_text())["metrics"]["pass1"]["low"] is None


@pytest.mark.parametrize("step", [None, 2.0, "2"])
def test_a_record_needs_a_whole_step(folder: Path, step: object) -> None:
    with RunLog.create(folder, "") as log, pytest.raises(RunLogError, match="needs a whole number 'step'"):
        log.append_evaluation({"step": step})


def test_a_step_out_of_order_is_refused(folder: Path) -> None:
    with RunLog.create(folder, "", tensorboard=False) as log:
        log.append_step({"step": 4})
        with pytest.raises(RunLogError, match="ends at step 4; step 4 came after it"):
            log.append_step({"step": 4})


def test_truncation_drops_what_came_after_the_checkpoint(folder: Path, group: Group) -> None:
    with RunLog.create(folder, "", tensorboard=False) as log:
        for step in range(1, 6):
            log.append_step({"step": step})
            log.write_rollouts(step, [group], 2)
        for step in (0, 3, 5):
            log.append_evaluation({"step": step})
    with RunLog.open(folder, tensorboard=False) as log:
        log.truncate_after(3)
        log.append_step({"step": 4, "again": 1})
        assert [record["step"] for record in log.evaluations()] == [0, 3]
    assert steps_on_disk(folder) == [1, 2, 3, 4]
    assert sorted(path.name for path in (folder / "rollouts").iterdir()) == [
        "step-000001",
        "step-000002",
        "step-000003",
    ]


def test_a_full_disk_leaves_the_log_whole_and_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with RunLog.create(folder, "", tensorboard=False) as log:
        log.append_step({"step": 1})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(RunLogError, match=r"the disk is full.*free some space, then continue with"):
                log.append_step({"step": 2})
        assert steps_on_disk(folder) == [1]
        log.append_step({"step": 2})
    assert steps_on_disk(folder) == [1, 2]


def test_tensorboard_shows_each_step_once_after_a_resume(folder: Path) -> None:
    with RunLog.create(folder, "") as log:
        for step in (1, 2, 3):
            log.append_step({"step": step, "reward": 0.125 * step, "recovery_rate": None})
        log.append_evaluation({"step": 3, "metrics": {"pass1": {"value": 0.5, "n": 2, "low": 0.1, "high": 0.9}}})
    with RunLog.open(folder) as log:
        log.truncate_after(2)
        log.append_step({"step": 3, "reward": 1.0})
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/reward")] == [(1, 0.125), (2, 0.25), (3, 1.0)]
    assert events.Scalars("eval/pass1") == []
    assert "train/recovery_rate" not in events.Tags()["scalars"]
