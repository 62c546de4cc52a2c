"""Random attacks on the Python sandbox: what they are a function of, and that they find nothing."""

from __future__ import annotations

import random

import pytest

from axpo.settings.config import ConfigError
from axpo_benchmarks.attacks import AttacksConfig, _calls, _files, run_attacks
from axpo_envs.backends.python_sandbox.start import available_isolations


def test_rounds_are_a_function_of_their_seed() -> None:
    for make in (_calls, _files):
        assert make(random.Random(3)) == make(random.Random(3)) != make(random.Random(4))


def test_some_rounds_find_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    (isolation, *_) = available_isolations()
    assert run_attacks(AttacksConfig(minutes=0.05, isolations=(isolation,))) == 0
    assert "0 findings so far" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "problem"),
    [({"minutes": 0.0}, "minutes must be positive; got 0.0"), ({"isolations": ("jail",)}, "got 'jail'")],
)
def test_settings_are_checked(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        AttacksConfig(**settings)  # type: ignore[arg-type]
