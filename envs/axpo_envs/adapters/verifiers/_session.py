"""Defines `verifiers_env`: an environment of verifiers as one of ours, one of its rollouts an episode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from axpo_envs.adapters.messages import text_of_content
from axpo_envs.adapters.sessions import Reply, SessionTool, session_env
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.imaging._data_urls import is_data_url, read_data_url
from axpo_envs.plumbing.extras import requiring
from axpo_envs.types import Parts

_PARAMETERS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"text": {"type": "string", "description": "The reply, as a message of the assistant."}},
    "required": ["text"],
    "additionalProperties": False,
}


def verifiers_env(  # noqa: PLR0913  # an environment's knobs
    config: Mapping[str, Any],
    *,
    episodes: int,
    deterministic: bool = False,
    name: str = "reply",
    max_actions: int = 32,
    sessions: int = 8,
    timeout_s: float = 600.0,
) -> ToolEnv:
    """Makes an environment of ours of one of verifiers', whose model is whoever acts in ours.

    A rollout of theirs waits for the model's turn: what it asks the model is shown, and the tool `reply` is the answer.
    The first `episodes` tasks are the questions, and the reward of an episode is that of its traces.

    Args:
        config: verifiers' settings of the environment, as under `[env]` in its files:
            `{"taskset": {"id": "gsm8k_v1"}}`, say. Its seats are played by `TurnHarness`, unless they name another, on
            this machine, and so are all.
        episodes: how many tasks there are.
        deterministic: equal tasks and replies always show the same and are scored the same, so that episodes may be
            branched and repeated by giving the replies again; what is shown is compared. Without it `axpo train`
            refuses methods that branch.
        name: what the policy calls the tool.
        max_actions: turns that may reply.
        sessions: rollouts under way at a time.
        timeout_s: seconds that verifiers may take between two turns.

    Raises:
        EnvConfigError: the environment cannot be made, or has too few tasks.
    """
    with requiring("verifiers", "an environment of verifiers"):
        from axpo_envs.adapters.verifiers._playing import Stage

    try:
        stage = Stage(config, episodes=episodes, timeout_s=timeout_s)
    except (ImportError, TypeError, ValueError, AttributeError, OSError) as error:
        raise EnvConfigError(f"verifiers: the environment {dict(config)} cannot be made: {error!r:.500}") from error
    tool = SessionTool(
        name=name,
        description="Replies, and shows what comes back.",
        parameters=_PARAMETERS,
        opens=partial(_Session, stage=stage),
        deterministic=deterministic,
        most_sessions=sessions,
    )
    return session_env(tool, env_id=f"verifiers/{stage.env_id}", episodes=episodes, max_actions=max_actions)


def parts_of(messages: list[Mapping[str, Any]]) -> Parts:
    """What the model is asked behind its own last turn, as text and images in order.

    Worked value: a system message "Be brief.", and a user's "Hello" are `("Be brief.\\n\\nHello",)`.
    """
    last = max((place for place, message in enumerate(messages) if message.get("role") == "assistant"), default=-1)
    texts: list[str] = []
    images: list[ImageRef] = []
    for message in messages[last + 1 :]:
        content = message.get("content")
        texts.append(text_of_content(content))
        for part in content if isinstance(content, list) else ():
            url = (part.get("image_url") or {}).get("url", "")
            if is_data_url(url):
                images.append(ImageRef.from_bytes(read_data_url(url)))
    return ("\n\n".join(filter(None, texts)), *images)


@dataclass(slots=True, kw_only=True, eq=False)
class _Session:
    """One rollout at a time."""

    stage: Any
    play: Any = None

    def reset(self, number: int) -> Reply:
        self.close()
        self.play = self.stage.play(number)
        return self._shown(self.play.begin)

    def act(self, arguments: Mapping[str, Any]) -> Reply:
        return self._shown(partial(self.play.reply, str(arguments["text"])))

    def close(self) -> None:
        if self.play is not None:
            self.play.close()
            self.play = None

    def _shown(self, step: Callable[[], Any]) -> Reply:
        asked, reward = step()
        if asked is None:
            return Reply(parts=("The rollout is over.",), reward=reward, done=True)
        return Reply(parts=parts_of(asked))
