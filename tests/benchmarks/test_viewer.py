import json
from pathlib import Path

import pytest

from axpo.records._rollout_log import read_rollouts, write_rollouts
from axpo_benchmarks.viewer import PAGES, ViewerConfig, _groups, run_viewer


def test_the_made_up_rollouts_are_rollouts(tmp_path: Path) -> None:
    groups = _groups(rollouts=20, tokens=16)
    write_rollouts(tmp_path, 1, groups, limit=0)
    assert len(read_rollouts(tmp_path, 1)) == 20


def test_every_page_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "viewer.json"
    assert run_viewer(ViewerConfig(steps=2, rollouts=20, tokens=16, json=path)) == 0
    assert "40 rollouts in 2 steps" in capsys.readouterr().out
    figures = json.loads(path.read_text())["viewer"]
    assert set(PAGES) < set(figures["seconds"])
