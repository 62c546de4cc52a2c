from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from axpo.cli import main
from axpo.settings.config import TrainConfig


@pytest.fixture
def run(tmp_path: Path, finished_run: Callable[..., Path]) -> Path:
    return finished_run(TrainConfig(steps=2, out=str(tmp_path / "run")))


def test_runs_are_shown_until_the_process_is_asked_to_end(run: Path) -> None:
    command = [sys.executable, "-m", "axpo.cli", "view", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            announced = re.search(r"1 runs? at (http://127\.0\.0\.1:\d+/)", server.stdout.readline())
            assert announced is not None
            with urllib.request.urlopen(f"{announced.group(1)}state.json", timeout=30) as response:
                assert json.loads(response.read())["runs"]["run"]["done"] == 2
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0


def test_a_port_that_is_taken_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["view", str(run), "--port", str(port)]) == 2
    assert f"cannot listen at 127.0.0.1, port {port}" in capsys.readouterr().err


def test_what_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", str(tmp_path)]) == 1
    assert f"{tmp_path} is no run and holds none" in capsys.readouterr().err


def test_no_folder_at_all_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view"]) == 2
    assert "expected the folder of a run" in capsys.readouterr().err


def test_reports_are_written_for_each_folder(
    run: Path, tmp_path: Path, finished_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = finished_run(TrainConfig(steps=1, out=str(tmp_path / "other")))
    assert main(["view", "--report", str(run), str(other)]) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n{other / 'report.html'}\n"
