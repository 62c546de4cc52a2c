from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from axpo.cli import COMMANDS, main
from axpo.commands import envs
from axpo.settings.config_file import to_toml
from axpo_envs.plumbing.extras import MissingExtraError

SMALL = ("--sampling.questions", "4", "--sampling.group-size", "4", "--sampling.max-turn-tokens", "12")


def complaints(err: str) -> list[str]:
    """What a command said beside how long it has been at work, which a slow machine is told, too."""
    return [line for line in err.splitlines() if not line.endswith("so far")]


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.delenv("AXPO_DEBUG", raising=False)
    former = signal.getsignal(signal.SIGTERM)
    yield __import__("toy_env")
    signal.signal(signal.SIGTERM, former)


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command; returns exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


class TestOverview:
    def test_lists_every_command(self, run_cli):
        code, out, _ = run_cli()
        assert code == 0
        assert all(f"  {name} " in out for name in COMMANDS)
        assert run_cli("--help") == (0, out, "")

    def test_tells_its_version(self, run_cli):
        code, out, _ = run_cli("--version")
        assert code == 0
        assert out.startswith("axpo 0.")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_explains_its_options(self, run_cli, command):
        code, out, _ = run_cli(command, "--help")
        assert code == 0
        assert f"usage: axpo {command}" in out

    def test_a_misspelt_command_is_answered_with_the_nearest(self, run_cli):
        assert run_cli("trian") == (2, "", "axpo: unknown command 'trian'; did you mean train?\n")
        assert run_cli("xyz")[2].startswith("axpo: unknown command 'xyz'; expected one of train, sft, eval")

    def test_environments_need_no_deep_learning_framework(self):
        code = (
            "import sys\n"
            "class Absent:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name.partition('.')[0] in ('torch', 'transformers', 'tomli_w', 'tensorboard'):\n"
            "            raise ModuleNotFoundError(name)\n"
            "sys.meta_path.insert(0, Absent())\n"
            "import axpo\n"
            "from axpo.cli import main\n"
            "axpo.TrainConfig()\n"
            "assert main(['envs']) == 0 and main(['--help']) == 0\n"
            "assert main(['play', '--env', 'axpo/VisualZoom-v0']) == 0\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], input="/quit\n", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "axpo/VisualZoom-v0" in done.stdout

    def test_training_without_its_packages_says_what_to_install(self, run_cli, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        code, _, err = run_cli("train")
        assert code == 1
        assert err == "axpo: `axpo train` needs torch: pip install 'axpo[train]'\n"


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (("train", "--steps", "0"), "steps: expected greater than or equal to 1; got 0"),
            (("train", "--env", "axpo/Nowhere-v0"), "`axpo envs` lists those that are known"),
            (("train", "--env-args", "guess=1"), "VisualZoom has no setting 'guess'"),
            (("train", "--device", "cuda:55"), "policy.device: expected one of"),
            (("train", "--model", "./nowhere"), "model: there is no folder nowhere"),
            (("train", "--resume", "nowhere"), "resume: nowhere is not a run folder"),
            (("train", "--resume", "nowhere", "--steps", "5"), "resume: nowhere is not a run folder"),
            (("train", "--resume", "nowhere", "--config", "c.toml"), "leave --config out"),
            (("train", "--json", "/dev"), "json: expected a file; /dev is a folder"),
            (
                ("eval", "tiny", "--json", "/dev/null/x.json"),
                "json: cannot write /dev/null/x.json: /dev/null is a file",
            ),
            (("play", "--images", "/dev/null"), "images: expected a folder; /dev/null is a file"),
            (("compare", "--out", "/dev/null"), "out: expected a folder; /dev/null is a file"),
            (("train", "--config", "nowhere.toml"), "nowhere.toml: cannot be read"),
            (("eval", "tiny-random"), "takes --env to say where it acts"),
            (("play", "--env", "axpo/Nowhere-v0"), "axpo envs"),
            (("envs", "no_such_module"), "cannot import no_such_module"),
            (("envs", "./mine"), "expected the name of a module, such as package.module, or the path of its file"),
            (("envs", "./mine.py"), "expected a module's file; there is none at"),
            (("serve-search", "corpus.jsonl", "--port", "99999"), "port: expected less than or equal to 65535"),
        ],
    )
    def test_bad_settings_are_one_message_and_code_2(self, run_cli, arguments, problem):
        code, _, err = run_cli(*arguments)
        assert code == 2
        assert err.startswith("axpo: ")
        assert problem in err
        assert "Traceback" not in err

    @pytest.mark.parametrize("arguments", [("train", "--steps", "x"), ("train", "--setps", "3"), ("eval",)])
    def test_bad_options_are_code_2(self, run_cli, arguments):
        code, _, err = run_cli(*arguments)
        assert code == 2
        assert "Traceback" not in err
        assert err

    def test_failures_are_code_1(self, run_cli, tmp_path):
        code, _, err = run_cli("view", "--report", str(tmp_path))
        assert code == 1
        assert "is neither a run" in err

    def test_an_unexpected_error_says_how_to_see_more(self, run_cli, monkeypatch):
        monkeypatch.setattr("axpo.commands.envs.run", lambda arguments: {}["x"])
        code, _, err = run_cli("envs")
        assert code == 1
        assert err == "axpo: KeyError: 'x' (unexpected; --debug shows where it came from)\n"
        with pytest.raises(KeyError):
            main(["envs", "--debug"])
        monkeypatch.setenv("AXPO_DEBUG", "1")
        with pytest.raises(KeyError):
            main(["envs"])


class TestTrain:
    def test_trains_evaluates_and_reports(self, run_cli, toy, tmp_path):
        run, summary = tmp_path / "run", tmp_path / "new" / "summary.json"
        code, out, err = run_cli(
            "train", "--method", "grpo", "--env", f"toy_env:{toy.ENV_ID}", "--model", "tiny-random", "--steps", "2",
            "--seed", "3", "--out", str(run), *SMALL, "--log.eval-questions", "2", "--log.no-tensorboard",
            "--env-args", "size=5", "pictures=true", "--device", "cpu", "--dtype", "float32", "--json", str(summary),
        )  # fmt: skip
        assert code == 0
        assert complaints(err) == []
        assert "step 2/2" in out
        assert str(run / "checkpoints" / "step-000002") in out
        record = json.loads(summary.read_text())
        assert record["rollouts"] == 32
        assert set(record["metrics"]["pass1"]) == {"value", "n", "low", "high"}
        assert 'env_args = [\n    "size=5",' in (run / "config.toml").read_text()

        results = tmp_path / "eval.json"
        code, out, err = run_cli("eval", str(run), "--questions", "2", "--samples", "4", "--json", str(results))
        assert (code, complaints(err)) == (0, [])
        assert "pass4" in out
        record = json.loads(results.read_text())
        assert record["settings"]["env"] == f"toy_env:{toy.ENV_ID}"
        assert record["questions"] == 2

        (run / "report.html").unlink()
        assert run_cli("view", str(run), "--report") == (0, f"{run / 'report.html'}\n", "")
        assert (run / "report.html").exists()

        code, out, err = run_cli("train", "--resume", str(run))
        assert (code, complaints(err)) == (0, [])

    def test_a_file_gives_the_defaults_of_the_options(self, run_cli, toy, tmp_path):
        config = tmp_path / "base.toml"
        config.write_text(to_toml(toy.toy_config(tmp_path / "unused", steps=7)), encoding="utf-8")
        code, _, _ = run_cli("train", "--config", str(config), "--steps", "1", "--out", str(tmp_path / "run"))
        assert code == 0
        written = (tmp_path / "run" / "config.toml").read_text()
        assert "steps = 1\n" in written
        assert "max_turn_tokens = 12\n" in written

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
    def test_ctrl_c_and_a_hang_up_save_say_how_to_go_on_and_end_with_130(self, toy, tmp_path, number):
        run = tmp_path / "run"
        config = toy.toy_config(run, steps=10_000, env=f"toy_env:{toy.ENV_ID}")
        (tmp_path / "config.toml").write_text(to_toml(config), encoding="utf-8")
        command = [sys.executable, "-m", "axpo.cli", "train", "--config", "config.toml"]
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            while process.poll() is None and not (run / "metrics.jsonl").exists():
                time.sleep(0.01)
            os.kill(process.pid, number)
            out, err = process.communicate()
        assert process.returncode == 130, err
        assert "Traceback" not in err
        assert f"Continue with: axpo train --resume {run}" in out
        assert len(list((run / "checkpoints").iterdir())) == 1


class TestPlay:
    def play(self, run_cli: Any, monkeypatch: pytest.MonkeyPatch, images: Path, *lines: str) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
        code, out, err = run_cli("play", "--env", "toy_env:toy/Checksum-v0", "--images", str(images))
        assert (code, err) == (0, "")
        return out

    def test_calls_answers_and_saves_what_is_shown(self, run_cli, monkeypatch, tmp_path):
        out = self.play(
            run_cli, monkeypatch, tmp_path, "/tools", '/call double {"number": 21}', "/answer 7", "more", "/quit"
        )
        assert "What is written on the red sign?" in out
        assert "double: Doubles a number." in out
        assert "<tool_response>\n42\n</tool_response>" in out
        assert "the episode has ended (answered) with reward" in out
        assert "the episode has ended: /undo takes the last turn back" in out
        assert [path.name for path in tmp_path.iterdir()] == ["image-001.png"]

    def test_every_turn_can_be_taken_back(self, run_cli, monkeypatch, tmp_path):
        lines = ("/undo", '/call double {"number": 1}', "/answer 7", "/undo", "/undo", "/undo", "/answer 7")
        out = self.play(run_cli, monkeypatch, tmp_path, *lines)
        assert out.count("nothing to take back") == 2
        assert "back before turn 2" in out
        assert "back before turn 1" in out
        assert out.count("the episode has ended (answered)") == 2

    def test_new_questions_typed_turns_and_typos(self, run_cli, monkeypatch, tmp_path):
        out = self.play(run_cli, monkeypatch, tmp_path, "/new", "two\\nlines", "/nwe", "", "/help", "/call")
        assert out.count("What is written on the red sign?") == 2
        assert "the episode has ended (no_answer)" in out
        assert "unknown command /nwe" in out


def test_envs_takes_the_path_of_a_modules_file(run_cli, tmp_path):
    (tmp_path / "two words").mkdir()
    module = tmp_path / "two words" / "path_of_mine.py"
    zoom = "axpo_envs.suite.visual_zoom.env:VisualZoom"
    module.write_text(f"import gymnasium\ngymnasium.register('mine/ByPath-v0', entry_point='{zoom}')\n")
    try:
        code, out, err = run_cli("envs", str(module))
    finally:
        gymnasium.registry.pop("mine/ByPath-v0", None)
    assert (code, err) == (0, "")
    assert "mine/ByPath-v0\n" in out


def test_envs_lists_tools_and_what_modules_register(run_cli, monkeypatch):
    code, out, _ = run_cli("envs")
    assert code == 0
    assert "axpo/VisualZoom-v0\n" in out
    assert "  tool image_zoom_in: " in out


def test_envs_lists_what_lacks_a_package_with_what_brings_it(run_cli, monkeypatch):
    made = envs.make_env

    def make(env_id: str, arguments: dict[str, Any]) -> Any:
        if env_id == "axpo/VisualZoom-v0":
            raise MissingExtraError("axpo/VisualZoom-v0 needs glass: pip install 'axpo[glass]'")
        return made(env_id, arguments)

    monkeypatch.setattr(envs, "make_env", make)
    code, out, _ = run_cli("envs")
    assert code == 0
    assert "axpo/VisualZoom-v0\n  (not made: axpo/VisualZoom-v0 needs glass: pip install 'axpo[glass]')" in out
