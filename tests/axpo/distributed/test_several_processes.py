"""Two processes train as one does: `two_processes.py` runs everything once, and the tests look at what came of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXACT = 1e-5
Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("two-processes")
    script = Path(__file__).with_name("two_processes.py")
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, str(script), str(folder)], env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    results: Found = json.loads((folder / "results.json").read_text())
    return results


def like(ones: list[Found], others: list[Found]) -> None:
    """Holds records of steps against each other, to what rounding decides."""
    for one, other in zip(timeless(ones), timeless(others), strict=True):
        assert one.keys() == other.keys()
        defined = [name for name, value in one.items() if value is not None]
        assert [other[name] for name in defined] == pytest.approx([one[name] for name in defined], rel=1e-4, abs=1e-6)
        assert all(other[name] is None for name in one.keys() - set(defined))


def timeless(records: list[Found]) -> list[Found]:
    """Records without what the clock, the layout of passes, and the chain of lines decide."""
    left_out = ("seconds", "chain", "scored_tokens", "prefix_sharing")
    return [
        {name: value for name, value in record.items() if not name.startswith(left_out) and "seconds" not in name}
        for record in records
    ]


@pytest.mark.parametrize(
    "case",
    [
        "ddp, uneven groups",
        "fsdp, an image on one rank",
        "fsdp, an empty rank gradient_checkpointing",
        "fsdp, uneven groups lora_rank",
    ],
)
def test_gradients_loss_and_norm_are_those_of_one_process(found: Found, case: str):
    row = found["gradients"][case]
    assert row["apart"] < EXACT
    assert row["losses"][1] == pytest.approx(row["losses"][0], rel=EXACT)
    assert row["norms"][1] == pytest.approx(row["norms"][0], rel=EXACT)
    assert row["tokens"][1] == row["tokens"][0]


def test_bfloat16_differs_by_its_rounding(found: Found):
    row = found["gradients"]["fsdp, uneven groups dtype"]
    assert row["losses"][1] == pytest.approx(row["losses"][0], rel=1e-2)
    assert row["norms"][1] == pytest.approx(row["norms"][0], rel=1e-2)


def test_a_run_that_moves_between_one_and_two_processes_ends_like_one_that_stays(found: Found):
    straight, moved = found["resumed"]["straight"], found["resumed"]["moved"]
    assert found["resumed"]["apart"]["model.safetensors"] < EXACT
    assert found["resumed"]["apart"]["trainer.safetensors"] < EXACT
    assert moved["checkpoints"] == straight["checkpoints"]
    like(straight["metrics"], moved["metrics"])
    assert [record["step"] for record in moved["evaluations"]] == [0, 1, 2, 3]
    last = [run["evaluations"][-1]["metrics"] for run in (straight, moved)]
    assert last[0] == last[1]


def test_an_error_that_is_met_together_ends_all_with_its_message_and_what_was_trained_is_saved(found: Found):
    first, second = found["failures"]["reward"]["ends"]
    assert second["error"] == "RewardFault"
    assert first["error"] == "PeerFailed"
    assert first["message"] == f"process 1 of the run failed: {second['message']}"
    assert found["failures"]["reward"]["checkpoints"] == ["step-000001"]


def test_an_error_in_the_middle_of_an_update_ends_the_others_too(found: Found):
    first, second = found["failures"]["update"]["ends"]
    assert second == {"error": "RuntimeError", "message": "the update is broken"}
    assert first["error"] == "PeerLost"
    assert "--resume" in first["message"]
    assert found["failures"]["update"]["checkpoints"] == ["step-000001"]


def test_a_killed_process_leaves_no_other_waiting(found: Found):
    first, second = found["failures"]["kill"]["ends"]
    assert second == {"exit": -signal.SIGKILL}
    assert first["error"] == "PeerLost"
    assert found["failures"]["kill"]["checkpoints"] == ["step-000001"]


def test_a_signal_to_one_process_stops_all_behind_the_step_under_way(found: Found):
    assert [end["error"] for end in found["failures"]["interrupt"]["ends"]] == ["Interrupted", "Interrupted"]
    assert found["failures"]["interrupt"]["checkpoints"] == ["step-000001", "step-000002"]


def test_a_setting_that_cannot_work_is_told_by_one_process(found: Found):
    first, second = found["failures"]["config"]["ends"]
    assert first["error"] == "ConfigError"
    assert second["error"] == "PeerFailed"


def test_processes_wait_for_as_long_as_the_first_one_works(found: Found):
    assert found["waits"]["long"] == [["quick", "sampled", "quick"]] * 2


def test_a_first_process_that_falls_silent_is_given_up(found: Found):
    first, second = found["waits"]["silent"]
    assert first["error"] == "PeerLost"
    assert second == "gave up"


@pytest.mark.parametrize("staleness", ["0", "1"])
def test_servers_that_sample_for_two_processes_do_so_as_for_one(found: Found, staleness: str):
    row = found["served"][staleness]
    like(row["straight"]["metrics"], row["moved"]["metrics"])
    assert row["apart"]["model.safetensors"] < EXACT
    assert row["apart"]["trainer.safetensors"] < EXACT
    assert [record["metrics"] for record in row["moved"]["evaluations"]] == [
        record["metrics"] for record in row["straight"]["evaluations"]
    ]
    behind = [record["staleness_max"] for record in row["moved"]["metrics"]]
    assert behind == {"0": [0.0, 0.0], "1": [0.0, 1.0, 1.0]}[staleness]


@pytest.mark.parametrize(
    ("staleness", "alone", "on_two"), [("0", ["0", "1", "2"], ["0"]), ("1", ["0", "1", "3"], ["1", "3"])]
)
def test_new_weights_reach_a_server_once_and_one_that_has_died_is_done_without(
    found: Found, staleness: str, alone: list[str], on_two: list[str]
):
    row = found["served"][staleness]
    assert row["versions"] == alone
    assert row["ends"] == [[on_two, []], []]


def test_without_a_server_left_all_end_together_and_what_was_trained_is_saved(found: Found):
    first, second = found["unserved"]["ends"]
    assert first["error"] in ("InfrastructureFault", "UnreachableError")
    assert second == {"error": "PeerFailed", "message": f"process 0 of the run failed: {first['message']}"}
    assert found["unserved"]["checkpoints"][-1] == f"step-{len(found['unserved']['metrics']):06d}"
    assert 1 <= len(found["unserved"]["metrics"]) < 9


@pytest.mark.parametrize("name", ["rollouts", "turns"])
def test_workers_of_a_cluster_serve_two_processes_and_lost_ones_are_replaced(found: Found, name: str):
    row = found["placed"][name]
    assert row["apart"]["model.safetensors"] < EXACT
    assert [record["reward_mean"] for record in row["metrics"]] == [
        record["reward_mean"] for record in found["placed"]["plain"]["metrics"]
    ]
    first, second = row["ends"]
    if name == "rollouts":
        assert (first["addresses"], first["workers"]) == (["local"], {"environments": 3, "rollouts": 2})
        assert (first["lost"], second) == (2, {"addresses": [], "workers": {}, "lost": 0})
    else:
        assert (first["addresses"], first["workers"], first["lost"]) == (["local"], {"environments": 1}, 1)
        assert (second["addresses"], second["workers"], second["lost"]) == (["first:1"], {"environments": 2}, 1)
