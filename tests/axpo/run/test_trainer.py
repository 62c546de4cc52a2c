from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import peft
import pytest
import torch

import axpo
from axpo.algorithm.sampling import sample_groups
from axpo.algorithm.update import DivergenceError
from axpo.run._checkpoint import CheckpointError, newest_checkpoint
from axpo.run._interrupts import Interrupted
from axpo.run.display import Silent
from axpo.run.trainer import RunResult, load_settings
from axpo.settings.config import ConfigError, OptimConfig, SamplingConfig, TrainConfig
from axpo.settings.config_file import read_toml
from axpo.settings.model import ModelConfig
from axpo_agents.transformers_policy import load_policy
from axpo_envs.errors import InfrastructureFault

DIAGNOSTICS = (
    "tool_attempt_rate",
    "tool_call_valid_rate",
    "tool_success_rate",
    "tool_pass1",
    "no_tool_pass1",
    "all_wrong_tool_subgroups",
    "all_wrong_no_tool_subgroups",
    "dead_groups",
    "mention_without_call",
    "premature_stop",
    "declined_correctly",
    "failed_to_act",
    "triggered_groups",
    "selected_prefixes",
    "recovery_rate",
    "tool_collapse",
)
PHASES = ("environment", "sampling", "resampling", "update", "reference", "step")


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return __import__("toy_env")


def train(config: TrainConfig, **display: Any) -> RunResult:
    return axpo.train(config, display=display.get("display", Silent()))


def weights(result: RunResult) -> bytes:
    return (result.checkpoint / "model.safetensors").read_bytes()


class Meddler(Silent):
    """Does something when a step reaches a phase."""

    def __init__(self, at: tuple[int, str], action: Callable[[], Any]) -> None:
        self.at, self.action = at, action
        self.done = 0
        self.notes: list[str] = []

    def step(self, record: Any) -> None:
        self.done = record["step"]

    def phase(self, name: str) -> None:
        if (self.done + 1, name) == self.at:
            self.action()

    def note(self, text: str) -> None:
        self.notes.append(text)


class TestRun:
    def test_leaves_a_record_per_step_with_every_diagnostic(self, toy, tmp_path):
        config = toy.toy_config(tmp_path / "run", log={"eval_questions": 2, "rollouts_every": 2})
        result = train(config)
        assert [record["step"] for record in result.metrics] == [1, 2, 3]
        for record in result.metrics:
            assert set(DIAGNOSTICS) <= set(record)
            assert all(record[f"seconds_{phase}"] >= 0 for phase in PHASES)
        assert sum(record["selected_prefixes"] for record in result.metrics) > 0
        assert sum(record["trained_tokens"] for record in result.metrics) > 0
        for total, each in (("rollouts", "rollouts"), ("tokens", "tokens"), ("trained_tokens", "trained_tokens")):
            assert result.metrics[-1][f"total_{total}"] == sum(record[each] for record in result.metrics)
        assert [record["step"] for record in result.evaluations] == [0, 3]
        assert set(result.evaluations[0]["metrics"]["pass4"]) == {"value", "n", "low", "high"}
        folder = {path.name for path in result.folder.iterdir()}
        assert folder == {
            "config.toml", "metrics.jsonl", "evaluations.jsonl", "rollouts", "checkpoints", "report.html", "seal.json"
        }  # fmt: skip
        assert [path.name for path in (result.folder / "rollouts").iterdir()] == ["step-000002"]

    def test_writes_the_settings_that_were_left_open(self, toy, tmp_path):
        result = train(toy.toy_config(tmp_path / "run", steps=1))
        assert read_toml(result.folder / "config.toml", TrainConfig).optim.lr == 1e-4

    def test_checkpoint_loads_as_the_trained_policy(self, toy, tmp_path):
        result = train(toy.toy_config(tmp_path / "run", optim=OptimConfig(lr=1e-2)))
        start, trained = load_policy("tiny-random"), load_policy(str(result.checkpoint))
        changed = [
            not torch.equal(a, b) for a, b in zip(start.model.parameters(), trained.model.parameters(), strict=True)
        ]
        assert any(changed)
        assert result.checkpoint.name == "step-000003"

    def test_evaluates_in_between_and_keeps_the_newest_checkpoints(self, toy, tmp_path):
        log = {"eval_questions": 2, "eval_every": 2, "checkpoint_every": 2, "keep_checkpoints": 2}
        result = train(toy.toy_config(tmp_path / "run", steps=5, log=log))
        assert [record["step"] for record in result.evaluations] == [0, 2, 4, 5]
        assert sorted(path.name for path in (result.folder / "checkpoints").iterdir()) == ["step-000004", "step-000005"]

    def test_is_a_function_of_its_configuration(self, toy, tmp_path):
        first, again, other = (
            train(toy.toy_config(tmp_path / name, seed=seed)) for name, seed in (("a", 3), ("b", 3), ("c", 4))
        )
        assert toy.timeless(first.metrics) == toy.timeless(again.metrics)
        assert toy.timeless(first.metrics) != toy.timeless(other.metrics)

    def test_evaluations_do_not_change_the_training(self, toy, tmp_path):
        plain = train(toy.toy_config(tmp_path / "plain"))
        watched = train(toy.toy_config(tmp_path / "watched", log={"eval_questions": 3, "eval_every": 1}))
        assert toy.timeless(plain.metrics) == toy.timeless(watched.metrics)

    def test_grpo_is_the_same_step_without_branches(self, toy, tmp_path):
        axpo_run = train(toy.toy_config(tmp_path / "axpo", steps=1))
        grpo_run = train(toy.toy_config(tmp_path / "grpo", steps=1, method="grpo"))
        (with_branches,), (without,) = axpo_run.metrics, grpo_run.metrics
        assert with_branches["continuations"] > 0
        assert without["continuations"] == without["selected_prefixes"] == 0
        for name in ("reward_mean", "tool_attempt_rate", "triggered_groups", "dead_groups"):
            assert with_branches[name] == without[name]

    # peft asks the model by a name that Transformers has deprecated.
    @pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
    def test_lora_goes_on_from_its_adapters_and_saves_them_merged(self, toy, tmp_path):
        config = toy.toy_config(tmp_path / "straight", optim=OptimConfig(lr=1e-2))
        config = replace(config, policy=replace(config.policy, lora_rank=2))
        straight = train(config)
        assert "adapter_config.json" not in {path.name for path in straight.checkpoint.iterdir()}
        self.adapters_give_the_merged_weights(straight.checkpoint)
        stopped = Meddler((3, "sampling"), lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Interrupted):
            train(replace(config, out=str(tmp_path / "run")), display=stopped)
        resumed = axpo.resume(tmp_path / "run", display=Silent())
        assert toy.timeless(resumed.metrics) == toy.timeless(straight.metrics)
        assert weights(resumed) == weights(straight)

    def adapters_give_the_merged_weights(self, checkpoint: Path) -> None:
        merged = load_policy(str(checkpoint)).model.state_dict()
        base = load_policy("tiny-random", load_settings(ModelConfig(), seed=0)).model
        adapted = peft.PeftModel.from_pretrained(base, str(checkpoint / "adapters")).merge_and_unload()
        for name, value in adapted.state_dict().items():
            assert torch.allclose(value, merged[name], atol=1e-6), name


class TestBest:
    LOG: ClassVar = {"eval_questions": 2, "eval_every": 1, "checkpoint_every": 9, "keep_checkpoints": 1}

    def scripted(self, monkeypatch: pytest.MonkeyPatch, *values: float) -> None:
        """Evaluations, in order, get these values of Pass@1."""
        given = iter(values)

        def evaluate(*arguments: Any, **options: Any) -> Any:
            found = actual(*arguments, **options)
            pass1 = replace(found.metrics["pass1"], value=next(given))
            return replace(found, metrics={**found.metrics, "pass1": pass1})

        actual = axpo.evaluate
        monkeypatch.setattr("axpo.run._evaluations.evaluate", evaluate)

    def test_the_best_checkpoint_is_kept_beside_the_newest(self, toy, tmp_path, monkeypatch):
        self.scripted(monkeypatch, 0.9, 0.1, 0.6, 0.3, 0.2)
        result = train(toy.toy_config(tmp_path / "run", steps=4, log={**self.LOG, "best_by": "pass1"}))
        assert result.best_checkpoint is not None
        assert (result.best_checkpoint.name, result.checkpoint.name) == ("step-000002", "step-000004")
        assert {path.name for path in (result.folder / "checkpoints").iterdir()} == {"step-000002", "step-000004"}

    def test_a_run_that_gets_no_better_ends_early_and_stays_ended(self, toy, tmp_path, monkeypatch):
        self.scripted(monkeypatch, 0.9, 0.6, 0.6, 0.5)
        config = toy.toy_config(tmp_path / "run", steps=9, log={**self.LOG, "best_by": "pass1", "patience": 2})
        notes = Meddler((0, ""), lambda: None)
        result = train(config, display=notes)
        assert [record["step"] for record in result.metrics] == [1, 2, 3]
        assert result.best_checkpoint is not None
        assert (result.best_checkpoint.name, result.checkpoint.name) == ("step-000001", "step-000003")
        assert "no better pass1 than step 1 had" in notes.notes[-1]
        assert len(axpo.resume(result.folder, display=Silent()).metrics) == 3

    @pytest.mark.parametrize(
        ("log", "problem"),
        [
            ({"best_by": "pass1", "eval_questions": 0}, "best_by"),
            ({"best_by": "passs1", "eval_questions": 2}, "best_by.*pass1"),
            ({"patience": 2, "eval_questions": 2, "eval_every": 1}, "patience"),
            ({"patience": 2, "best_by": "pass1", "eval_questions": 2}, "eval_every"),
        ],
    )
    def test_what_cannot_be_measured_is_refused(self, toy, tmp_path, log, problem):
        with pytest.raises(ConfigError, match=problem):
            train(toy.toy_config(tmp_path / "run", log=log))


class TestModelInMemory:
    def test_a_model_with_its_tokenizer_trains_like_its_checkpoint(self, toy, tmp_path):
        policy = load_policy("tiny-random", load_settings(ModelConfig(), seed=0))
        by_name = train(toy.toy_config(tmp_path / "name"))
        by_object = axpo.train(toy.toy_config(tmp_path / "object"), display=Silent(), model=policy)
        assert toy.timeless(by_object.metrics) == toy.timeless(by_name.metrics)
        assert read_toml(by_object.folder / "config.toml", TrainConfig).model == str(by_object.folder / "start")
        assert toy.timeless(axpo.resume(by_object.folder, display=Silent()).metrics) == toy.timeless(by_name.metrics)

    def test_a_text_model_needs_its_tokenizer(self, toy, tmp_path):
        policy = load_policy("tiny-random")
        with pytest.raises(ConfigError, match="tokenizer: expected a tokenizer of the Transformers library"):
            axpo.train(toy.toy_config(tmp_path / "run"), display=Silent(), model=policy.model)
        assert not (tmp_path / "run").exists()


class TestRoom:
    def test_a_run_in_which_no_prompt_fits_is_refused_before_anything_is_written(self, toy, tmp_path):
        sampling = SamplingConfig(questions=2, group_size=2, max_turn_tokens=5, max_episode_tokens=20)
        with pytest.raises(ConfigError, match="the prompts of all 2 questions of the first step have at least"):
            train(toy.toy_config(tmp_path / "run", sampling=sampling, method="grpo"))
        assert not (tmp_path / "run").exists()


class TestRefusals:
    def test_nothing_is_done_before_every_setting_is_checked(self, toy, tmp_path):
        config = toy.toy_config(tmp_path / "run")
        for bad in (
            replace(config, env="axpo/Nowhere-v0"),
            replace(config, env_args=("size=0",)),
            replace(config, model=str(tmp_path)),
            replace(config, steps=0),
            replace(config, policy=replace(config.policy, device="cuda:77")),
        ):
            with pytest.raises(ConfigError):
                train(bad)
        assert not (tmp_path / "run").exists()

    def test_a_run_is_not_overwritten(self, toy, tmp_path):
        config = toy.toy_config(tmp_path / "run", steps=1)
        before = train(config)
        with pytest.raises(ConfigError, match="holds a run already"):
            train(config)
        assert axpo.resume(before.folder, display=Silent()).metrics == before.metrics


class TestInterrupts:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_while_sampling_abandons_the_step(self, toy, tmp_path, number):
        former = signal.getsignal(number)
        config = toy.toy_config(tmp_path / "run")
        display = Meddler((3, "sampling"), lambda: signal.raise_signal(number))
        with pytest.raises(Interrupted):
            train(config, display=display)
        assert signal.getsignal(number) is former
        assert self.saved(tmp_path) == 2
        assert display.notes == [
            f"stopped; the run is saved up to step 2. Continue with: axpo train --resume {tmp_path / 'run'}"
        ]

    def test_a_signal_during_the_update_lets_the_step_finish(self, toy, tmp_path):
        config = toy.toy_config(tmp_path / "run")
        display = Meddler((2, "update"), lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Interrupted):
            train(config, display=display)
        assert self.saved(tmp_path) == 2
        assert display.notes[0] == "the step is being finished first; asked again, the run stops at once"

    def test_a_second_signal_during_the_update_never_saves_half_a_step(self, toy, tmp_path):
        def twice() -> None:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

        config = toy.toy_config(tmp_path / "run")
        with pytest.raises(Interrupted):
            train(config, display=Meddler((2, "update"), twice))
        assert newest_checkpoint(tmp_path / "run" / "checkpoints", warn=pytest.fail) is None

    def test_a_stopped_run_goes_on_as_if_it_had_not_been(self, toy, tmp_path):
        straight = train(toy.toy_config(tmp_path / "straight", log={"eval_questions": 2}))
        config = toy.toy_config(tmp_path / "run", log={"eval_questions": 2})
        with pytest.raises(Interrupted):
            train(config, display=Meddler((2, "resampling"), lambda: signal.raise_signal(signal.SIGTERM)))
        resumed = axpo.resume(tmp_path / "run", display=Silent())
        assert toy.timeless(resumed.metrics) == toy.timeless(straight.metrics)
        assert toy.timeless(resumed.evaluations) == toy.timeless(straight.evaluations)

    def saved(self, folder: Path) -> int:
        checkpoint = newest_checkpoint(folder / "run" / "checkpoints", warn=pytest.fail)
        assert checkpoint is not None
        return checkpoint.progress.step


class TestFaults:
    def test_a_fault_of_the_machinery_loses_no_finished_step(self, toy, tmp_path, monkeypatch):
        straight = train(toy.toy_config(tmp_path / "straight"))
        calls = []

        def sample(*arguments: Any, **options: Any) -> Any:
            calls.append(arguments)
            if len(calls) == 3:
                raise InfrastructureFault("the server is gone")
            return sample_groups(*arguments, **options)

        monkeypatch.setattr("axpo.algorithm._rounds.sample_groups", sample)
        with pytest.raises(InfrastructureFault, match="the server is gone"):
            train(toy.toy_config(tmp_path / "run"))
        checkpoint = newest_checkpoint(tmp_path / "run" / "checkpoints", warn=pytest.fail)
        assert checkpoint.progress.step == 2
        resumed = axpo.resume(tmp_path / "run", display=Silent())
        assert toy.timeless(resumed.metrics) == toy.timeless(straight.metrics)

    def test_divergence_stops_the_run_and_saves_nothing_of_it(self, toy, tmp_path):
        config = toy.toy_config(tmp_path / "run", optim=OptimConfig(lr=1e30), log={"checkpoint_every": 1})
        with pytest.raises(DivergenceError, match=r"step 1 diverged: expected .*finite .*saved up to step 0"):
            train(config)
        assert newest_checkpoint(tmp_path / "run" / "checkpoints", warn=pytest.fail) is None

    def test_a_full_disk_leaves_everything_before_it_intact(self, toy, tmp_path):
        config = toy.toy_config(tmp_path / "run", log={"checkpoint_every": 1})
        straight = train(replace(config, out=str(tmp_path / "straight")))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

        def fill_disk() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))

        try:
            with pytest.raises(CheckpointError, match=r"cannot write the checkpoint .*step-000002"):
                train(config, display=Meddler((2, "sampling"), fill_disk))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-000001"]
        resumed = axpo.resume(tmp_path / "run", display=Silent())
        assert toy.timeless(resumed.metrics) == toy.timeless(straight.metrics)
