"""Tests of axpo-bench soak, in small: its parts run, and a part that does not hold fails the command."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from axpo.settings.config import ConfigError
from axpo_benchmarks.soak import SoakConfig, run_soak
from axpo_benchmarks.soak._episodes import _is_flat
from axpo_benchmarks.soak._kills import Moment, run_until
from axpo_benchmarks.soak._neighbours import _Noise
from axpo_benchmarks.soak._watch import Usage, own_temporary_folder
from axpo_envs.backends.python_sandbox.start import available_isolations

USAGE = Usage(memory_mb=100.0, children_mb=400.0, descriptors=10, threads=2, processes=9, temporary=5, shared=0)


def test_odd_turns_raise_nothing_and_are_written_down(tmp_path: Path) -> None:
    figures = tmp_path / "soak.json"
    assert run_soak(SoakConfig(only=("turns",), turns=2000, json=figures)) == 0
    found = json.loads(figures.read_text())
    assert found["parts"]["turns"]["turns"] >= 2000
    assert found["parts"]["turns"]["replayed"] >= 0
    assert found["machine"]


def test_episodes_leave_nothing_behind() -> None:
    if not available_isolations():
        pytest.skip("there is no sandbox for Python on this machine")
    assert run_soak(SoakConfig(only=("episodes",), episodes=20)) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"memory_mb": 109.0},
        {"children_mb": 600.0},
        {"descriptors": 40},
        {"threads": 20},
        {"processes": 90},
        {"shared": 1},
    ],
)
def test_what_grows_is_not_flat(change: dict[str, float]) -> None:
    grown = Usage(**{**{name: getattr(USAGE, name) for name in USAGE.__slots__}, **change})
    assert _is_flat([USAGE] * 20)
    assert not _is_flat([*[USAGE] * 19, grown])
    assert not _is_flat([*[USAGE] * 4, grown])
    # Interpreters of the first episodes are still being started.
    assert _is_flat([*[USAGE] * 3, grown])


def test_unknown_parts_and_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected some of episodes, turns, kills, neighbours; got 'rain'"):
        SoakConfig(only=("rain",))
    with pytest.raises(ConfigError, match="kills: expected at least 1; got 0"):
        SoakConfig(kills=0)


def test_a_run_that_fails_by_itself_is_no_kill(tmp_path: Path) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text("steps = 'many'")
    with pytest.raises(AssertionError, match="axpo train ended with"):
        run_until(["--config", str(settings)], Moment(after=tmp_path / "run" / "config.toml", seconds=120.0))


def test_a_run_is_killed_in_the_middle(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run_until(["--out", str(out), "--steps", "900"], Moment(after=out / "config.toml", seconds=0.1)) is None
    assert (out / "config.toml").is_file()


class Faulty:
    """A sandbox that runs nothing."""

    def run(self, *_: object, **__: object) -> None:
        raise RuntimeError("nothing runs")


def test_a_guest_that_makes_no_noise_is_found_out() -> None:
    stop = _Noise(Faulty(), "1").start()  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="made no noise"):
        stop()


def test_temporary_files_are_counted_where_nobody_else_writes() -> None:
    with own_temporary_folder():
        assert Usage.now().temporary == 0
        with tempfile.NamedTemporaryFile():
            assert Usage.now().temporary == 1
