"""What cannot be rewound is not trained by methods that rewind."""

from __future__ import annotations

from typing import Any

import pytest

import axpo
from axpo.algorithm.step import Training
from axpo_envs.adapters.sessions import Reply, SessionTool, session_env


class Clock:
    def reset(self, number: int) -> Reply:
        return Reply(parts=("Wait.",))

    def act(self, arguments: Any) -> Reply:
        return Reply(parts=("tick",))

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("method", ["axpo", "axpo_forced", "arpo", "grpo"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_methods_that_resample_refuse_tools_that_do_not_rewind(method: str, deterministic: bool) -> None:
    tool = SessionTool(
        name="wait", description="Waits.", parameters={"type": "object"}, opens=Clock, deterministic=deterministic
    )
    unused: Any = None
    parts = {"sampler": unused, "learner": unused, "reference": unused, "optimizer": unused}
    env = session_env(tool, env_id="test/Clock-v0", episodes=1)
    config = axpo.TrainConfig(method=method)
    if deterministic or method == "grpo":
        assert Training(config=config, env=env, **parts).method.name == method
    else:
        with pytest.raises(axpo.ConfigError, match="'wait' cannot"):
            Training(config=config, env=env, **parts)
