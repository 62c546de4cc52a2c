from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import axpo
from axpo.cli import main
from axpo.plan import measuring
from axpo.plan.machines import machine_named
from axpo.plan.measuring import measure_costs
from axpo.plan.planning import Subject
from axpo.plan.workload import Expected
from axpo.settings.config import ConfigError
from axpo.settings.model import ModelConfig

TASK = ("--task.prompt-tokens", "200", "--task.prompt-images", "1", "--task.image-tokens", "64")


def plan(*arguments: str, tmp_path: Path) -> tuple[int, dict[str, object]]:
    file = tmp_path / "plan.json"
    code = main(["plan", *arguments, "--json", str(file)])
    return code, json.loads(file.read_text(encoding="utf-8"))


def test_a_plan_is_shown_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        'model = "qwen3-vl-2b"\nsteps = 7\n[policy]\ndevice = "cuda"\ndtype = "bfloat16"\n'
        "gradient_checkpointing = true\n"
    )
    code, record = plan(str(config), "--machine", "h100", *TASK, tmp_path=tmp_path)
    assert code == 0
    assert record["seconds"]["run"] == pytest.approx(7 * record["seconds"]["step"])
    assert record["memory"]["fits"]
    assert record["tokens"]["prompt_tokens"] == 264
    shown = capsys.readouterr().out
    assert "It fits" in shown
    assert "from a data sheet, not measured" in " ".join(shown.split())


def test_what_does_not_fit_is_said_with_what_would_change_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--model", "qwen3-vl-8b", "--policy.device", "cuda", "--policy.dtype", "bfloat16", "--gpus", "8")
    code, record = plan(*options, *TASK, tmp_path=tmp_path)
    assert code == 1
    assert not record["memory"]["fits"]
    *_, last = record["changes"]
    assert last["fits"]
    assert set(last["settings"]) == {"--ranks.strategy fsdp", "--policy.gradient-checkpointing"}
    assert "It does not fit" in capsys.readouterr().out
    better = ("--ranks.strategy", "fsdp", "--policy.gradient-checkpointing")
    code, record = plan(*options, *better, *TASK, tmp_path=tmp_path)
    assert code == 0


def test_64_devices_are_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--model", "qwen3-vl-2b", "--policy.device", "cuda", "--policy.dtype", "bfloat16", "--gpus", "64")
    size = ("--sampling.questions", "16", "--simulate", "--chances.steps", "2")
    code, record = plan(*options, *size, *TASK, tmp_path=tmp_path)
    assert code == 0
    first, *others = record["simulation"]["tried"]
    assert first["outcome"]["learner_share"] + first["outcome"]["waiting_share"] == pytest.approx(1)
    assert any("that sample for" in one["change"] for one in others)
    assert "What would help" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--steps", "0"), "steps: expected greater than or equal to 1; got 0"),
        (("--sampling.max-turn-tokens", "20000"), "expected at most sampling.max_episode_tokens"),
        (("--model", "./nowhere"), "model: there is no folder nowhere"),
        (("--gpus", "0"), "gpus: expected greater than or equal to 1; got 0"),
        (("--sampler-gpus", "-1"), "sampler_gpus: expected greater than or equal to 0"),
        (("--machine", "abacus"), "machine: expected here, one of a100-80gb"),
        (("--machine", "h100", "--measure"), "measure: expected --machine here"),
        (("--gpus", "2", "--max-staleness", "1"), "max_staleness: expected 0 where 2 processes"),
        (("--gpus", "2", "--sampler", "vllm"), "sampler: expected learner, addresses of servers"),
        (("--sampler", "vllm", "--serving.weights", "sglang"), "serving.weights: expected reload or lora"),
        (("--sampler", "http://one:8000"), "sampler_gpus: expected the devices of the servers"),
        (("--sampler-gpus", "2"), "sampler_gpus: expected 0 where no server samples"),
        (("--sampler", "ftp://one"), "sampler: expected learner, vllm, or addresses"),
        (("--task.tool-rate", "1.5"), "tool_rate: expected less than or equal to 1; got 1.5"),
        (("--like", "./nowhere"), "like: expected the folder of a training run"),
        (("--simulate",), "simulate: expected a machine whose speed is known"),
        (("nowhere.toml",), "nowhere.toml: cannot be read"),
    ],
)
def test_unusable_settings_are_one_message_before_any_work(
    arguments: tuple[str, ...],
    problem: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["plan", *arguments]) == 2
    err = capsys.readouterr().err
    assert problem in err
    assert "Traceback" not in err


def test_a_machine_of_ones_own_is_read_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[mine]\ndevice = "Mine"\nsource = "me"\nmemory_gb = 16.0\ntflops = 50.0\nbandwidth_gbs = 300.0\n')
    machine = machine_named(str(file))
    assert (machine.name, machine.memory_gb, machine.training_share) == ("mine", 16.0, 0.35)
    file.write_text('[mine]\ndevice = "Mine"\nsource = "me"\nmemory_gb = -1\n')
    with pytest.raises(ConfigError, match=r"mine\.toml: mine\.memory_gb: Input should be greater than 0; got -1"):
        machine_named(str(file))
    file.write_text("[mine]\nspeed = 3\n")
    with pytest.raises(ConfigError, match=r"mine\.speed: unknown setting"):
        machine_named(str(file))


def test_what_was_measured_here_is_kept_for_such_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(measuring, "REPEATS", 1)
    monkeypatch.setattr(measuring, "_GROUPS", (1, 2))
    run = ("--sampling.questions", "2", "--sampling.group-size", "2", "--sampling.max-turn-tokens", "8")
    run += ("--selection.budget", "0.0", "--method", "grpo")
    code, record = plan(*run, "--measure", tmp_path=tmp_path)
    assert code == 0
    costs = record["costs"]
    assert costs["source"].startswith("measured here")
    assert min(costs["train_s"], costs["reference_s"]) > 0
    _, again = plan(*run, tmp_path=tmp_path)
    assert again["costs"] == costs
    _, other = plan(*run, "--policy.packing", "rows", tmp_path=tmp_path)
    assert other["costs"] is None
    assert "nothing is known of this machine's speed" in " ".join(capsys.readouterr().out.split())
    next((tmp_path / "axpo").rglob("costs.json")).write_text("{", encoding="utf-8")
    assert main(["plan", *run]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_recomputing_activations_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "REPEATS", 1)
    monkeypatch.setattr(measuring, "_GROUPS", (1, 2))
    policy = ModelConfig(gradient_checkpointing=True)
    config = axpo.TrainConfig(sampling=axpo.SamplingConfig(questions=2, group_size=2, max_turn_tokens=8))
    config = replace(config, policy=policy)
    subject = Subject.of(replace(config, method="grpo"), Expected(turn_tokens=4))
    costs = measure_costs(subject.config, subject.model, subject.work)
    assert costs.train_s > 0
    assert costs.question_s == 0.0
