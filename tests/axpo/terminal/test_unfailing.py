from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import axpo
from axpo.run.countdown import Countdown, duration
from axpo.run.display import Silent
from axpo.terminal.display import Plain
from axpo.terminal.heartbeat import Heartbeat
from axpo.terminal.unfailing import Unfailing
from axpo_envs.plumbing.printable import printable


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    return __import__("toy_env")


class Broken(Silent):
    """Fails at a method of its choice, in a way of its choice."""

    def __init__(self, where: str, error: BaseException) -> None:
        def fail(*_: object) -> None:
            raise error

        setattr(self, where, fail)


@pytest.mark.parametrize("where", ["start", "phase", "step", "evaluation"])
def test_training_outlives_its_display(toy, tmp_path, capsys, where):
    log = {"eval_questions": 1}
    straight = axpo.train(toy.toy_config(tmp_path / "straight", steps=2, log=log), display=Silent())
    broken = Broken(where, ValueError("no such colour"))
    result = axpo.train(toy.toy_config(tmp_path / "run", steps=2, log=log), display=broken)
    assert toy.timeless(result.metrics) == toy.timeless(straight.metrics)
    assert (result.checkpoint / "model.safetensors").read_bytes() == (
        straight.checkpoint / "model.safetensors"
    ).read_bytes()
    assert capsys.readouterr().err.count("the display failed and is off from here on: ValueError: no such colour") == 1


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "Input/output error"), SystemExit(1)])
def test_a_reader_that_has_gone_is_no_news(capsys, error):
    def show() -> None:
        raise error

    shown = Unfailing()
    shown(show)
    shown(pytest.fail)
    assert shown.failed
    assert capsys.readouterr().err == ""


def test_an_interrupt_is_no_failure_of_the_display():
    def show() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Unfailing()(show)


def test_a_closed_pipe_leaves_a_finished_run(toy, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    code = (
        "import sys, toy_env\nfrom pathlib import Path\n"
        "from axpo.settings.config_file import to_toml\nfrom axpo.cli import main\n"
        "Path('c.toml').write_text(to_toml(toy_env.toy_config(Path('run'), steps=3)))\n"
        "sys.exit(main(['train', '--config', 'c.toml', '--json', 'summary.json']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    # A slow machine is told how long loading takes.
    complaints = [line for line in done.stderr.splitlines() if not line.endswith("so far")]
    assert (done.returncode, complaints) == (0, [])
    assert (tmp_path / "run" / "checkpoints" / "step-000003").is_dir()
    assert (tmp_path / "summary.json").is_file()


def test_work_in_silence_is_spoken_of():
    lines: list[str] = []
    spoken = threading.Event()

    def write(line: str) -> None:
        lines.append(line)
        spoken.set()

    with Heartbeat(write, first_s=0.01) as heartbeat:
        heartbeat.doing("evaluating")
        assert spoken.wait(60)
    assert lines[-1].startswith(("evaluating, ", "working, "))
    assert lines[-1].endswith(" s so far")


def test_a_plain_display_says_what_it_is_busy_with_and_what_is_left():
    class Output(io.StringIO):
        def write(self, text: str) -> int:
            if "evaluation 40%" in text:
                spoken.set()
            return super().write(text)

    spoken = threading.Event()
    output = Output()
    with Plain(Console(file=output, width=200), quiet_s=0.01) as display:
        display.start(axpo.TrainConfig(steps=40), 0)
        display.phase("evaluation 40%, about 2 min left")
        assert spoken.wait(60)
    assert "after step 0: evaluation 40%, about 2 min left, " in output.getvalue()


def test_times_are_told_in_words():
    assert [duration(seconds) for seconds in (0.4, 45.2, 200, 4000)] == ["0 s", "45 s", "3 min", "1 h 7 min"]
    countdown = Countdown()
    assert [countdown(share) for share in (0.0, 1.0)] == ["0%", "100%"]
    assert countdown(0.5).startswith("50%, about ")


def test_text_from_outside_commands_no_terminal():
    assert printable("a\tb\nc") == "a\tb\nc"
    assert printable("\x1b]0;title\x07\x1b[2J\r\x9b31m") == "\\x1b]0;title\\x07\\x1b[2J\\x0d\\x9b31m"
    assert printable("\u202eevil\ud800") == "\\u202eevil\\ud800"
