from __future__ import annotations

import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo.algorithm.methods import method_names
from axpo.run.environments import make_env, parse_env_args
from axpo.run.validation import check_new_folder, resolved
from axpo.settings.config import (
    Aggregation,
    ConfigError,
    LossConfig,
    OptimConfig,
    Ranking,
    SamplingConfig,
    SelectionConfig,
    TrainConfig,
)
from axpo.settings.config_file import checked, left_out, read_toml, to_toml
from axpo.settings.model import ModelConfig
from axpo.settings.sft import SftConfig
from axpo_envs.plumbing.extras import MissingExtraError

TOY = "toy/Checksum-v0"


@pytest.fixture(autouse=True)
def toy_env(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    __import__("toy_env")


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


numbers = st.floats(min_value=1e-9, max_value=1e9)
configs = st.builds(
    TrainConfig,
    env_args=st.lists(st.text(), max_size=3).map(tuple),
    out=st.text(min_size=1),
    method=st.sampled_from(method_names()),
    seed=st.integers(min_value=0, max_value=2**62),
    selection=st.builds(SelectionConfig, budget=numbers, ranking=st.sampled_from(Ranking)),
    loss=st.builds(LossConfig, kl=numbers, aggregation=st.sampled_from(Aggregation), skip_zero_advantage=st.booleans()),
    optim=st.builds(OptimConfig, lr=st.none() | numbers, betas=st.tuples(*[st.floats(0, 0.999)] * 2)),
)


class TestFile:
    @given(config=configs)
    def test_reads_back_what_was_written(self, config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = written(tmp_path_factory.mktemp("config"), to_toml(config))
        assert read_toml(path, TrainConfig) == config

    def test_reads_back_nested_lists_of_settings(self, tmp_path: Path) -> None:
        config = SftConfig()
        assert read_toml(written(tmp_path, to_toml(config)), SftConfig) == config

    def test_partial_file_leaves_the_rest_at_its_defaults(self, tmp_path: Path) -> None:
        path = written(tmp_path, 'method = "grpo"\n[optim]\nlr = 1\n')
        expected = TrainConfig(method="grpo", optim=OptimConfig(lr=1.0))
        assert read_toml(path, TrainConfig) == expected

    def test_tells_what_a_file_of_an_older_version_leaves_out(self, tmp_path: Path) -> None:
        text = to_toml(replace(TrainConfig(), seed=5))
        older = text[: text.index("[ray]")] + text[text.index("[log]") :]
        older = older.replace("seed = 5\n", "").replace("[loss]\n", "[loss]\n#")
        first = text.partition("[loss]\n")[2].partition(" = ")[0]
        found = left_out(written(tmp_path, older), TrainConfig)
        assert found["seed"] == 0
        assert found[f"loss.{first}"] == getattr(LossConfig(), first)
        assert found["ray.rollouts.num_gpus"] == 0.0
        assert not [name for name in found if name not in ("seed", f"loss.{first}") and not name.startswith("ray.")]
        assert left_out(written(tmp_path, text), TrainConfig) == {}

    @pytest.mark.parametrize(
        ("old", "new", "problem"),
        [
            ("seed = 0", "sead = 0", "sead: unknown setting"),
            ("seed = 0", 'seed = "0"', "seed: expected a whole number; got '0'"),
            ("seed = 0", "seed = true", "seed: expected a whole number; got True"),
            ("kl = 0.001", "kl = -1", "loss.kl: expected greater than or equal to 0; got -1"),
            ("kl = 0.001", "kl = inf", "loss.kl: expected a finite number; got inf"),
            ("kl = 0.001", "kl = 2026-01-01", "loss.kl: expected a number; got '2026-01-01'"),
            ("[loss]", "[los]", "los: unknown setting"),
            ('method = "axpo"', "method = 3", "method: expected a string; got 3"),
            ("env_args = []", "env_args = 3", "env_args: expected an array; got 3"),
            ("[log]", "[log.more]\nx = 1\n[log]", "log.more: unknown setting"),
            ("[sampling]", "[seed]\n[sampling]", "Cannot"),
            ("seed = 0", "seed = ", "expected a TOML file"),
        ],
    )
    def test_names_file_setting_expected_and_got(self, tmp_path: Path, old: str, new: str, problem: str) -> None:
        text = to_toml(TrainConfig())
        assert old in text
        path = written(tmp_path, text.replace(old, new, 1))
        with pytest.raises(ConfigError) as caught:
            read_toml(path, TrainConfig)
        assert str(path) in str(caught.value)
        assert problem in str(caught.value)

    def test_section_where_a_value_belongs_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="seed: expected a value; got a section"):
            read_toml(written(tmp_path, "[seed]\nx = 1"), TrainConfig)
        with pytest.raises(ConfigError, match="log: expected a section; got 3"):
            read_toml(written(tmp_path, "log = 3"), TrainConfig)

    def test_a_misspelt_setting_of_a_stage_is_named(self, tmp_path: Path) -> None:
        path = written(tmp_path, "[[stages]]\nsteps = 2\n[[stages]]\nstep = 3\n[stages.mixture]\nslips = 1\n")
        with pytest.raises(ConfigError, match=r"stages\.1\.step: unknown") as caught:
            read_toml(path, SftConfig)
        assert "stages.1.mixture.slips: unknown setting" in str(caught.value)

    def test_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
            read_toml(tmp_path / "none.toml", TrainConfig)

    def test_every_problem_is_listed_at_once(self, tmp_path: Path) -> None:
        path = written(tmp_path, 'steps = 0\nmodel = ""\n')
        with pytest.raises(ConfigError) as caught:
            read_toml(path, TrainConfig)
        assert "steps: expected greater than or equal to 1; got 0" in str(caught.value)
        assert "model: expected" not in str(caught.value).splitlines()[0]
        assert "model" in str(caught.value)


class TestValues:
    @pytest.mark.parametrize(
        ("section", "values"),
        [
            (
                "",
                {
                    "steps": 0,
                    "seed": -1,
                    "model": "",
                    "env": "",
                    "out": "",
                    "method": "",
                    "success_threshold": float("nan"),
                },
            ),
            (
                "sampling",
                {
                    "questions": 0,
                    "group_size": 1,
                    "temperature": 0.0,
                    "max_turn_tokens": 0,
                    "max_episode_tokens": 0,
                    "fault_retries": -1,
                },
            ),
            (
                "selection",
                {"budget": -0.1, "continuations": 1, "ranking": "x", "cut": "x"},
            ),
            ("advantages", {"prefix_credit": "yes"}),
            ("loss", {"clip_low": 1.0, "clip_high": 0.0, "kl": -1.0, "aggregation": "sum"}),
            (
                "optim",
                {
                    "lr": 0.0,
                    "warmup_steps": -1,
                    "betas": (0.9, 1.0),
                    "weight_decay": -1.0,
                    "max_grad_norm": 0.0,
                    "minibatches": 0,
                    "micro_batch_tokens": 0,
                },
            ),
            ("serving", {"timeout_s": 1e12}),
            ("ranks", {"timeout_s": 1e300}),
            ("policy", {"device": "", "dtype": "float16", "lora_rank": -1, "lora_alpha": 0}),
            (
                "log",
                {
                    "checkpoint_every": 0,
                    "keep_checkpoints": 0,
                    "rollouts_every": -1,
                    "rollouts_per_step": -1,
                    "eval_questions": -1,
                    "eval_samples": 0,
                    "eval_every": -1,
                },
            ),
        ],
    )
    def test_each_value_outside_its_range_is_refused(self, section: str, values: dict[str, Any]) -> None:
        for name, value in values.items():
            config = TrainConfig()
            if section:
                changed = replace(getattr(config, section), **{name: value})
                config = replace(config, **{section: changed})
            else:
                config = replace(config, **{name: value})
            with pytest.raises(ConfigError, match=rf"{section and section + '.'}{name}"):
                checked(config)

    @pytest.mark.parametrize("wrong", [{"betas": (2.0, 0.9)}, {"betas": (float("nan"), 0.9)}, {"seed": -1}])
    def test_a_supervised_run_has_the_ranges_of_any_other(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            checked(replace(SftConfig(), **wrong))

    def test_plain_values_become_those_of_the_declared_types(self, tmp_path: Path) -> None:
        config = replace(TrainConfig(), method="grpo", out=tmp_path, env_args=["a=1"])  # type: ignore[arg-type]
        assert checked(config) == TrainConfig(method="grpo", out=str(tmp_path), env_args=("a=1",))


class TestTogether:
    def test_learning_rate_follows_the_model_and_is_kept_if_given(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"text_config": {"hidden_size": 2048}}', encoding="utf-8")
        assert resolved(TrainConfig(model="tiny")).optim.lr == 1e-4
        assert resolved(TrainConfig(model=str(tmp_path))).optim.lr == 1e-6
        assert resolved(TrainConfig(model="Qwen/Qwen3-VL-2B-Thinking")).optim.lr == 1e-6
        assert resolved(TrainConfig(optim=OptimConfig(lr=0.5))).optim.lr == 0.5
        (tmp_path / "config.json").write_text('{"text_config": {"hidden_size": 128}}', encoding="utf-8")
        assert resolved(TrainConfig(model=str(tmp_path))).optim.lr == 1e-4

    def test_a_budget_that_never_reaches_one_prefix_is_refused_for_axpo_only(self) -> None:
        sampling = SamplingConfig(questions=3, group_size=5)
        with pytest.raises(ConfigError, match=r"selection\.budget: 0\.25 of 15 rollouts is less than one prefix"):
            resolved(TrainConfig(sampling=sampling))
        resolved(TrainConfig(sampling=sampling, method="grpo"))
        resolved(TrainConfig(sampling=SamplingConfig(questions=4, group_size=4)))

    @pytest.mark.parametrize(
        ("budget", "questions", "size", "k"), [(0.07, 5, 20, 7), (0.29, 10, 10, 29), (0.57, 10, 10, 57)]
    )
    def test_a_budget_of_exactly_one_prefix_is_accepted(self, budget: float, questions: int, size: int, k: int) -> None:
        sampling = SamplingConfig(questions=questions, group_size=size)
        resolved(TrainConfig(sampling=sampling, selection=SelectionConfig(budget=budget, continuations=k)))

    @pytest.mark.parametrize(("questions", "size", "k"), [(3, 5, 4), (3, 3, 5), (7, 3, 8)])
    def test_the_budget_that_a_refusal_asks_for_is_accepted(self, questions: int, size: int, k: int) -> None:
        config = TrainConfig(
            sampling=SamplingConfig(questions=questions, group_size=size),
            selection=SelectionConfig(budget=0.01, continuations=k),
        )
        with pytest.raises(ConfigError, match="expected at least") as refusal:
            resolved(config)
        asked = float(str(refusal.value).split("expected at least ")[1].split(",")[0])
        resolved(replace(config, selection=replace(config.selection, budget=asked)))

    @pytest.mark.parametrize(
        ("config", "problem"),
        [
            (TrainConfig(sampling=SamplingConfig(max_turn_tokens=9, max_episode_tokens=8)), "max_turn_tokens"),
            (TrainConfig(policy=ModelConfig(device="gpu")), "policy.device: expected one of cpu.*; got 'gpu'"),
            (TrainConfig(policy=ModelConfig(device="cuda:99")), "policy.device"),
            (TrainConfig(model="./nowhere"), "model: there is no folder nowhere"),
            (TrainConfig(model=str(Path(__file__).parent)), "has no config.json"),
            (TrainConfig(method="grpo_n1"), "method grpo_n1: sampling.group_size: expected greater than or equal to 2"),
            (TrainConfig(env_args=("size",)), "env_args: expected NAME=VALUE; got 'size'"),
        ],
    )
    def test_values_that_contradict_each_other_or_the_machine_are_refused(
        self, config: TrainConfig, problem: str
    ) -> None:
        with pytest.raises(ConfigError, match=problem):
            resolved(config)

    def test_lora_without_its_library_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "peft", None)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match=r"pip install 'axpo\[lora\]'"):
            resolved(TrainConfig(policy=ModelConfig(lora_rank=8)))

    def test_out_must_be_new_or_empty(self, tmp_path: Path) -> None:
        check_new_folder(tmp_path / "a" / "b")
        check_new_folder(tmp_path)
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match="expected a new or empty folder"):
            check_new_folder(tmp_path)
        with pytest.raises(ConfigError, match="is a file; expected a folder"):
            check_new_folder(tmp_path / "file" / "run")
        (tmp_path / "config.toml").touch()
        with pytest.raises(ConfigError, match="holds a run already: continue it with `axpo train --resume"):
            check_new_folder(tmp_path)


class TestEnvironment:
    def test_arguments_are_json_or_bare_words(self) -> None:
        arguments = ("rate=0.6", "size=3", "split=test", 'names=["a"]', "on=true", "none=null", "text=a=b", "empty=")
        assert parse_env_args(arguments) == {
            "rate": 0.6,
            "size": 3,
            "split": "test",
            "names": ["a"],
            "on": True,
            "none": None,
            "text": "a=b",
            "empty": "",
        }

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (("a",), "expected NAME=VALUE; got 'a'"),
            (("=1",), "expected NAME=VALUE; got '=1'"),
            (("a=1", "a=2"), "a is given twice"),
            (("a=[1",), r"a: expected JSON; got '\[1'"),
            (("a=True",), "a: expected 'true' .JSON.; got 'True'"),
        ],
    )
    def test_unreadable_arguments_are_refused(self, arguments: tuple[str, ...], problem: str) -> None:
        with pytest.raises(ConfigError, match=problem):
            parse_env_args(arguments)

    @pytest.mark.parametrize(
        ("env_id", "arguments", "problem"),
        [
            ("axpo/Nowhere-v0", {}, "env: .*Nowhere.*`axpo envs` lists"),
            ("no_such_module:toy/Checksum-v0", {}, "env: .* cannot be loaded: No module named 'no_such_module'"),
            ("toy/Other-v0", {}, "env: expected a ToolEnv; toy/Other-v0 is a OtherEnv"),
            (TOY, {"sise": 1}, "env_args: .*unexpected keyword argument 'sise'; it takes size, pictures, split"),
            (TOY, {"size": 0}, "env_args: .*size must be at least 1; got 0"),
            (TOY, {"size": "x"}, "env_args: .*not supported between"),
        ],
    )
    def test_unusable_environments_are_refused(self, env_id: str, arguments: dict[str, Any], problem: str) -> None:
        with pytest.raises(ConfigError, match=problem):
            make_env(env_id, arguments)

    def test_module_is_imported_first(self) -> None:
        assert make_env(f"toy_env:{TOY}", {"size": 3}).questions.size == 3

    @pytest.mark.parametrize("given", ["neighbour_a", "../beside/neighbour_b.py", "{}/neighbour_c.py"])
    def test_own_modules_are_found_in_the_working_folder_and_by_their_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
    ) -> None:
        name = Path(given).stem
        here, beside = tmp_path / "here", tmp_path / "beside"
        for folder in (here, beside):
            folder.mkdir()
        source = f"""
            import gymnasium
            from axpo_envs.suite.visual_zoom.env import VisualZoom
            from {name}_part import MADE

            gymnasium.register("mine/{name}-v0", entry_point=VisualZoom)
        """
        home = beside if given.endswith(".py") else here
        (home / f"{name}.py").write_text(textwrap.dedent(source))
        (home / f"{name}_part.py").write_text("MADE = True")
        monkeypatch.chdir(here)
        monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != ""])
        assert make_env(f"{given.format(beside)}:mine/{name}-v0", {"image_size": 128}).spec.id == f"mine/{name}-v0"

    def test_a_file_that_is_missing_or_named_like_another_module_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=f"expected a module's file; there is none at {tmp_path}/gone.py"):
            make_env(f"{tmp_path}/gone.py:mine/A-v0", {})
        (tmp_path / "json.py").touch()
        with pytest.raises(ConfigError, match=r"json.py cannot be imported: .* has the same name"):
            make_env(f"{tmp_path}/json.py:mine/A-v0", {})
