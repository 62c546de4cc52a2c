"""Defines `openenv_env`: an environment behind an OpenEnv server as one of ours, one connection an episode."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

from axpo_envs.adapters.sessions import Reply, SessionTool, session_env
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.images import ImageRef
from axpo_envs.imaging._data_urls import is_data_url, read_data_url
from axpo_envs.plumbing.extras import requiring
from axpo_envs.tool.protocol import ToolError
from axpo_envs.types import Parts

_REFUSED: Final = ("VALIDATION_ERROR", "INVALID_JSON")
"""Codes of a server that did not take an action: nothing has happened."""
_HIDDEN: Final = ("metadata", "done", "reward")
"""Fields of an observation that are not for the policy."""


def openenv_env(  # noqa: PLR0913  # an environment's knobs
    url: str,
    *,
    episodes: int,
    deterministic: bool = False,
    name: str = "act",
    max_actions: int = 32,
    sessions: int = 1,
    render: Callable[[Mapping[str, Any]], Parts] | None = None,
    timeout_s: float = 60.0,
) -> ToolEnv:
    """Makes an environment of ours of one behind an OpenEnv server.

    Its action is a tool, with the server's own schema; what a reset with the seed 0, 1, ... shows are the questions;
    the reward of an episode is the sum of the rewards of its actions. An action that the server's schema refuses is the
    policy's to read; a lost connection or an error of the environment is an infrastructure fault, never scored.

    Args:
        url: address of the server, such as `http://127.0.0.1:8000`.
        episodes: how many seeds there are.
        deterministic: equal seeds and actions always show the same, so that episodes may be branched and repeated by
            giving the actions again; what is shown is compared. Without it `axpo train` refuses methods that branch.
        name: what the policy calls the tool.
        max_actions: turns that may act.
        sessions: connections at a time; OpenEnv's servers take one where they do not say otherwise.
        render: an observation as the policy reads it; `observation_parts` by default.
        timeout_s: seconds that an answer may take.

    Raises:
        EnvConfigError: there is no such server, or its action is no object.
    """
    schema = _schema(url, timeout_s)
    opens = partial(_OpenEnvSession, url=url, timeout_s=timeout_s, render=render or observation_parts)
    tool = SessionTool(
        name=name,
        description=schema.get("description") or "Takes an action in the environment and shows what came of it.",
        parameters=_without_metadata(schema),
        opens=opens,
        deterministic=deterministic,
        most_sessions=sessions,
    )
    return session_env(tool, env_id=f"openenv/{url}", episodes=episodes, max_actions=max_actions)


def observation_parts(observation: Mapping[str, Any]) -> Parts:
    """An observation as text and images: one with a single text field as that text, any other as JSON.

    `data:` URLs of images anywhere in it become images, behind the text, in order. Reward, end and metadata are left
    out.
    """
    shown = {name: value for name, value in observation.items() if name not in _HIDDEN}
    images = tuple(ImageRef.from_bytes(read_data_url(url)) for url in _data_urls(shown))
    told = _without_urls(shown)
    filled = {name: value for name, value in told.items() if value not in (None, "", [], {})}
    values = list(filled.values())
    text = values[0] if len(values) == 1 and isinstance(values[0], str) else json.dumps(filled, ensure_ascii=False)
    return (text, *images)


@dataclass(slots=True, kw_only=True, eq=False)
class _OpenEnvSession:
    """One connection, made by the first reset."""

    url: str
    timeout_s: float
    render: Callable[[Mapping[str, Any]], Parts]
    client: Any = None

    def reset(self, number: int) -> Reply:
        with requiring("openenv", "an environment behind an OpenEnv server"):
            from openenv.core.generic_client import GenericEnvClient
        if self.client is None:
            self.client = GenericEnvClient(base_url=self.url, message_timeout_s=self.timeout_s).sync()
        return self._asked(lambda: self.client.reset(seed=number))

    def act(self, arguments: Mapping[str, Any]) -> Reply:
        return self._asked(lambda: self.client.step(dict(arguments)))

    def close(self) -> None:
        if self.client is not None:
            self.client.close()

    def _asked(self, ask: Callable[[], Any]) -> Reply:
        try:
            result = ask()
        except Exception as error:
            # The client tells the server's code in its text alone.
            if any(f"(code: {code})" in str(error) for code in _REFUSED):
                raise ToolError(f"the environment does not take this action: {error}") from error
            raise InfrastructureFault(f"{self.url}: {error!r}") from error
        return Reply(parts=self.render(result.observation), reward=float(result.reward or 0.0), done=bool(result.done))


def _schema(url: str, timeout_s: float) -> dict[str, Any]:
    where = f"{url.rstrip('/')}/schema"
    try:
        with urlopen(where, timeout=timeout_s) as answer:
            schema = json.load(answer)["action"]
    except (URLError, OSError, ValueError, KeyError, TypeError) as error:
        raise EnvConfigError(f"expected an OpenEnv server; {where} answers {error!r}") from error
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise EnvConfigError(f"{where}: expected an action that is an object; got {schema!r}")
    return schema


def _without_metadata(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = {name: value for name, value in schema.get("properties", {}).items() if name != "metadata"}
    kept = {name: value for name, value in schema.items() if name in ("type", "required", "$defs")}
    return {**kept, "properties": properties, "additionalProperties": False}


def _data_urls(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if is_data_url(value):
            yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _data_urls(one)
    elif isinstance(value, list):
        for one in value:
            yield from _data_urls(one)


def _without_urls(value: Any) -> Any:
    if isinstance(value, str):
        return "" if is_data_url(value) else value
    if isinstance(value, Mapping):
        return {name: _without_urls(one) for name, one in value.items()}
    if isinstance(value, list):
        return [one for one in map(_without_urls, value) if one != ""]
    return value
