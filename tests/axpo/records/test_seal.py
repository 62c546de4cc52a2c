"""What is done to the files of a run is found: every record of it carries a checksum."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from axpo.records._checked_json import DamagedFileError
from axpo.records._jsonl import JsonLines
from axpo.records._rollout_log import read_image, read_rollouts
from axpo.records.run_log import RunLog, RunLogError, check_run, read_evaluations, read_steps
from axpo.report._report import write_report
from axpo.settings.config import TrainConfig

RunMaker = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path, finished_run: RunMaker) -> Path:
    return finished_run(TrainConfig(out=str(tmp_path / "run"), steps=2))


def everything_read(run: Path) -> list[object]:
    """All that a reader of the run is told."""
    check_run(run)
    return [read_steps(run), read_evaluations(run), read_rollouts(run / "rollouts", 2)]


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


@pytest.mark.parametrize(
    "name",
    [
        "config.toml",
        "metrics.jsonl",
        "evaluations.jsonl",
        "seal.json",
        "rollouts/step-000002/rollouts.jsonl",
        "rollouts/step-000002/manifest.json",
        "rollouts/step-000002/images",
    ],
)
def test_a_flipped_bit_is_found_wherever_it_is(run: Path, name: str) -> None:
    path = run / name if (run / name).is_file() else next((run / name).iterdir())
    whole = path.read_bytes()
    rng = random.Random(0)
    for bit in rng.sample(range(8 * len(whole)), 60):
        flip(path, bit)
        with pytest.raises((RunLogError, DamagedFileError)) as refusal:
            everything_read(run)
        assert path.name in str(refusal.value)
        path.write_bytes(whole)
    assert everything_read(run)


@pytest.mark.parametrize("name", ["metrics.jsonl", "evaluations.jsonl"])
def test_a_log_that_was_cut_short_is_not_taken_for_a_shorter_run(run: Path, name: str) -> None:
    data = (run / name).read_bytes()
    for size in (0, data.index(b"\n") + 1, len(data) - 1 - len(data) // 4):
        (run / name).write_bytes(data[:size])
        with pytest.raises(RunLogError, match=rf"{name} is cut short: 2 lines were written, [01] are there"):
            RunLog.open(run)
        with pytest.raises(RunLogError, match="cut short"):
            write_report(run)
        assert (run / name).read_bytes() == data[:size]


def test_only_the_end_of_the_last_line_may_be_missing(run: Path) -> None:
    path = run / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    RunLog.open(run, tensorboard=False).close()
    assert path.read_bytes() == whole


def test_a_line_that_was_taken_out_or_put_in_is_found(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "log.jsonl")
    for step in range(4):
        log.append({"step": step})
    lines = log.path.read_bytes().splitlines(keepends=True)
    for changed in ([lines[0], *lines[2:]], [*lines[:2], lines[1], *lines[2:]], [lines[1], lines[0], *lines[2:]]):
        log.path.write_bytes(b"".join(changed))
        with pytest.raises(DamagedFileError, match=r"line \d: its chain does not match"):
            JsonLines(log.path).read()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("metrics.jsonl", "metrics.jsonl is missing: 2 lines were written"),
        ("evaluations.jsonl", "evaluations.jsonl is missing"),
        ("seal.json", "seal.json is missing"),
        ("rollouts", "step-000002 is missing"),
    ],
)
def test_what_was_removed_is_named(run: Path, name: str, problem: str) -> None:
    (shutil.rmtree if (run / name).is_dir() else Path.unlink)(run / name)
    with pytest.raises(RunLogError, match=problem):
        RunLog.open(run)


def test_settings_cannot_be_edited_behind_a_runs_back(run: Path) -> None:
    config = run / "config.toml"
    config.write_text(config.read_text().replace("seed = 0", "seed = 1"))
    with pytest.raises(RunLogError, match=r"config\.toml was changed after the run had begun"):
        RunLog.open(run)


def test_settings_that_are_changed_by_the_run_are_sealed_and_the_change_is_kept(run: Path) -> None:
    with RunLog.open(run, tensorboard=False) as log:
        log.change_config("steps = 9\n", {"step": 2, "settings": {"steps": {"before": 2, "after": 9}}})
    check_run(run)
    assert (run / "config.toml").read_text() == "steps = 9\n"
    assert JsonLines(run / "changes.jsonl").read()[0]["settings"]["steps"] == {"before": 2, "after": 9}


def test_a_process_killed_between_two_writes_leaves_a_run_that_can_be_opened(run: Path) -> None:
    """The seal is written behind what it speaks of, and shortened before."""
    before = (run / "seal.json").read_bytes()
    with RunLog.open(run, tensorboard=False) as log:
        log.append_step({"step": 3})
        (run / "seal.json").write_bytes(before)
    assert [record["step"] for record in read_steps(run)] == [1, 2, 3]
    whole = (run / "metrics.jsonl").read_bytes()
    with RunLog.open(run, tensorboard=False) as log:
        log.truncate_after(1)
    (run / "metrics.jsonl").write_bytes(whole)
    with RunLog.open(run, tensorboard=False) as log:
        assert [record["step"] for record in log.steps()] == [1, 2, 3]


@pytest.mark.parametrize("digest", ["../../../secret", "../images/" + "0" * 32, "0" * 31, "A" * 32, "0" * 32 + "\n"])
def test_an_image_has_a_digest_for_a_name_and_nothing_else(run: Path, digest: str) -> None:
    with pytest.raises(DamagedFileError, match="expected the digest of an image"):
        read_image(run / "rollouts", 2, digest, 1, 1)


def test_an_image_has_the_size_that_was_saved(run: Path) -> None:
    saved = read_rollouts(run / "rollouts", 2)[0].question.images[0]
    assert read_image(run / "rollouts", 2, saved.digest, saved.width, saved.height).digest == saved.digest
    with pytest.raises(DamagedFileError, match="is not the image of 7 x 100 pixels"):
        read_image(run / "rollouts", 2, saved.digest, 7, saved.height)


def test_a_manifest_must_list_what_is_there(run: Path) -> None:
    folder = run / "rollouts" / "step-000002"
    for text in ("{}", '{"files": {}}', json.dumps({"checksum": "0" * 64, "files": {}})):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(DamagedFileError, match=r"manifest\.json"):
            read_rollouts(run / "rollouts", 2)
