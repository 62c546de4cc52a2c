import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from axpo.algorithm.methods import method_named
from axpo.compare import comparison
from axpo.compare.comparison import ComparisonConfig, compare, comparison_table
from axpo.records.outcomes import Comparison, read_comparison
from axpo.records.run_log import RunLog, RunLogError
from axpo.settings.config import ConfigError, LogConfig, TrainConfig

RunMaker = Callable[..., Path]
PASS1 = {"grpo": 0.5, "axpo": 0.875}


@pytest.fixture
def quiet() -> Console:
    return Console(quiet=True)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, finished_run: RunMaker) -> list[str]:
    """Replaces training by runs made up, and reports by empty pages; lists what was asked for."""
    asked: list[str] = []

    def train(config: TrainConfig) -> None:
        asked.append(f"train {Path(config.out).name}")
        finished_run(config, pass1=PASS1[method_named(config.method).name.partition("_")[0]] + 0.0625 * config.seed)

    def resume(folder: Path) -> None:
        asked.append(f"resume {folder.name}")
        with RunLog.open(folder, tensorboard=False) as log:
            for step in range((log.last_step or 0) + 1, 3):
                log.append_step({"step": step, "rollouts": 1, "tokens": 1, "seconds_step": 1})

    def write_report(folder: Path) -> Path:
        (folder / "report.html").write_text("")
        return folder / "report.html"

    monkeypatch.setattr(comparison, "train", train)
    monkeypatch.setattr(comparison, "resume", resume)
    monkeypatch.setattr(comparison, "write_report", write_report)
    return asked


def config(folder: Path, **changes: object) -> ComparisonConfig:
    base = TrainConfig(steps=2, out=str(folder), log=LogConfig(tensorboard=False))
    return replace(ComparisonConfig(base=base), **changes)


def test_the_file_has_the_promised_keys_and_numbers(tmp_path: Path, trained: list[str], quiet: Console) -> None:
    compare(config(tmp_path), console=quiet)
    found = json.loads((tmp_path / "comparison.json").read_text())
    assert list(found) == ["grpo", "axpo", "details"]
    assert found["axpo"] == {
        "pass1": 0.875,
        "pass4": 1.0,
        "tool_attempt_rate": 0.25,
        "all_wrong_tool_subgroups": None,
        "rollouts": 20.0,
        "tokens": 200.0,
        "seconds": 3.0,
    }
    assert found["grpo"]["pass1"] == 0.5
    assert found["details"]["start"]["outcome"]["pass1"] == 0.25
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "axpo" / "report.html").is_file()


def test_what_was_written_reads_back(tmp_path: Path, trained: list[str], quiet: Console) -> None:
    written = compare(config(tmp_path), console=quiet)
    assert read_comparison(tmp_path) == written


def test_methods_differ_in_nothing_but_the_method(tmp_path: Path, trained: list[str], quiet: Console) -> None:
    compare(config(tmp_path), console=quiet)
    grpo, axpo = ((tmp_path / name / "config.toml").read_text().splitlines() for name in ("grpo", "axpo"))
    differing = {a.split(" = ")[0] for a, b in zip(grpo, axpo, strict=True) if a != b}
    assert differing == {"method", "out"}


def test_finished_runs_are_used_again(tmp_path: Path, trained: list[str], quiet: Console) -> None:
    compare(config(tmp_path), console=quiet)
    again = compare(config(tmp_path), console=quiet)
    assert trained == ["train grpo", "train axpo"]
    assert again.entries[1].mean.measures["pass1"] == 0.875


def test_unfinished_runs_are_continued(tmp_path: Path, trained: list[str], quiet: Console) -> None:
    compare(config(tmp_path), console=quiet)
    with RunLog.open(tmp_path / "axpo", tensorboard=False) as log:
        log.truncate_after(1)
    compare(config(tmp_path), console=quiet)
    assert trained[2:] == ["resume axpo"]


def test_a_run_with_other_settings_is_refused_before_any_work(
    tmp_path: Path, trained: list[str], quiet: Console, finished_run: RunMaker
) -> None:
    finished_run(replace(config(tmp_path).base, steps=3, out=str(tmp_path / "axpo")))
    with pytest.raises(ConfigError, match=r"axpo holds a run with other settings \(steps=3, not 2\)"):
        compare(config(tmp_path), console=quiet)
    assert trained == []


def test_a_moved_comparison_goes_on(tmp_path: Path, trained: list[str], quiet: Console) -> None:
    compare(config(tmp_path / "here"), console=quiet)
    (tmp_path / "here").rename(tmp_path / "there")
    compare(config(tmp_path / "there"), console=quiet)
    assert len(trained) == 2


def test_several_seeds_give_mean_and_spread(tmp_path: Path, trained: list[str], quiet: Console) -> None:
    found = compare(config(tmp_path, seeds=(0, 2)), console=quiet)
    assert trained == ["train grpo-seed0", "train axpo-seed0", "train grpo-seed2", "train axpo-seed2"]
    grpo = found.entries[0]
    assert grpo.mean.measures["pass1"] == 0.5625
    # Sample standard deviation of 0.5 and 0.625.
    assert grpo.spread["pass1"] == pytest.approx(0.125 / 2**0.5)
    assert grpo.spread["all_wrong_tool_subgroups"] is None
    record = json.loads((tmp_path / "comparison.json").read_text())
    assert record["grpo"]["pass1"] == 0.5625
    assert [run["outcome"]["pass1"] for run in record["details"]["entries"][0]["runs"]] == [0.5, 0.625]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ()}, "methods: expected at least one"),
        ({"methods": ("axpo", "axpo")}, "none of them twice; got axpo axpo"),
        ({"seeds": (1, 1)}, "seeds: .* got 1 1"),
        ({"methods": ("axpo", "ppo")}, "got 'ppo'"),
        ({"base": TrainConfig(method="grpo")}, "named by --methods; got 'grpo'"),
        ({"base": TrainConfig(log=LogConfig(eval_questions=0))}, "expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    trained: list[str], quiet: Console, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        compare(config(tmp_path, **changes), console=quiet)
    assert trained == []


def test_the_table_fits_a_terminal_and_says_it_all(tmp_path: Path, trained: list[str], quiet: Console) -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(comparison_table(compare(config(tmp_path), console=quiet)))
    lines = [line.split() for line in capture.get().splitlines() if "%" in line]
    assert lines == [
        ["Start", "25.0%", "100.0%", "25.0%", "-", "0", "0", "0"],
        ["GRPO", "50.0%", "100.0%", "25.0%", "-", "20", "200", "3"],
        ["AXPO", "87.5%", "100.0%", "25.0%", "-", "20", "200", "3"],
    ]


@pytest.mark.parametrize("name", ["thesis.tex", "data/rows.jsonl", "config.toml", "axpo/notes.txt", "seal/x"])
def test_another_kind_of_folder_is_left_alone(tmp_path: Path, trained: list[str], quiet: Console, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match=r"out: "):
        compare(config(tmp_path), console=quiet)
    assert trained == []
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [Path(name).name]


def test_a_comparison_may_be_extended_by_a_method(tmp_path: Path, trained: list[str], quiet: Console) -> None:
    compare(config(tmp_path), console=quiet)
    (tmp_path / ".DS_Store").touch()
    compare(config(tmp_path, methods=("grpo", "axpo_random")), console=quiet)
    assert trained == ["train grpo", "train axpo", "train axpo_random"]


def test_a_damaged_run_is_found_before_any_work(tmp_path: Path, trained: list[str], quiet: Console) -> None:
    compare(config(tmp_path, methods=("axpo",)), console=quiet)
    path = tmp_path / "axpo" / "metrics.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(RunLogError, match="cut short"):
        compare(config(tmp_path), console=quiet)
    assert trained == ["train axpo"]


def test_a_changed_number_of_a_comparison_is_found(tmp_path: Path, trained: list[str], quiet: Console) -> None:
    compare(config(tmp_path), console=quiet)
    path = tmp_path / "comparison.json"
    path.write_text(path.read_text().replace("0.875", "0.975"))
    with pytest.raises(RunLogError, match="does not match its checksum"):
        read_comparison(tmp_path)


def test_a_folder_without_a_comparison_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunLogError, match=r"holds no comparison: there is no comparison\.json"):
        read_comparison(tmp_path)


def test_an_empty_comparison_has_no_mean(tmp_path: Path) -> None:
    nothing = Comparison(start=None, entries=(), steps=1, machine={})
    nothing.write(tmp_path)
    assert read_comparison(tmp_path) == nothing
