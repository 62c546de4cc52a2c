"""Where a user's own demonstrations come from: chat messages, saved rollouts, or an agent that plays."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from axpo.settings.config import ConfigError
from axpo.settings.sft import DemonstrationsConfig
from axpo.sft._demonstrations import Demonstration
from axpo.sft.sources._chat import chat_demonstrations
from axpo.sft.sources._played import played_demonstrations
from axpo.sft.sources._rollouts import is_rollouts, rollout_demonstrations
from axpo_envs.env import ToolEnv
from axpo_envs.questions.problems import Problems
from axpo_envs.questions.rows import HUB_PREFIX, read_rows

__all__ = ["load_demonstrations"]

_EXPECTED: Final = (
    "a JSONL file of chat messages, a run's folder or file of rollouts, 'hf:OWNER/NAME[/CONFIG][:SPLIT]', or "
    "'package.module:name' of an agent"
)


def load_demonstrations(config: DemonstrationsConfig, env: ToolEnv | None, *, seed: int) -> list[Demonstration]:
    """Reads, or plays, all demonstrations of a source.

    Args:
        config: the source and what is taken of it.
        env: the environment they are shown with; None shows what the source says.
        seed: seeds the episodes that an agent plays.

    Raises:
        ConfigError: there is no such source, an agent has no environment, or nothing of it is left.
        EnvConfigError: records are unusable; the message lists them by place.
    """
    source = config.source
    if source is None:
        raise ConfigError(f"demonstrations.source: expected {_EXPECTED}; got nothing")
    path = Path(source).expanduser()
    if source.startswith(HUB_PREFIX) or (path.is_file() and not is_rollouts(path)):
        problems = Problems(source)
        found = chat_demonstrations(read_rows(source, problems), env, problems)
        problems.raise_if_any()
    elif path.exists() and is_rollouts(path):
        found = rollout_demonstrations(path, env, min_reward=config.min_reward)
    elif not path.exists() and ":" in source:
        if env is None:
            raise ConfigError(f"env: expected the environment that {source} plays in; got none")
        found = played_demonstrations(source, env, episodes=config.episodes, min_reward=config.min_reward, seed=seed)
    else:
        what = "holds none of these" if path.exists() else "does not exist"
        raise ConfigError(f"demonstrations.source: expected {_EXPECTED}; {source} {what}")
    if not found:
        raise ConfigError(
            f"demonstrations.source: {source} has no demonstrations with a reward of at least {config.min_reward:g} "
            "(demonstrations.min_reward)"
        )
    return found
