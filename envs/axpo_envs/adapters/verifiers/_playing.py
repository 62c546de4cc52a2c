"""Defines `Stage`, on which rollouts of verifiers are played, and `Play`, one of them, whose model is whoever replies.

Verifiers asks models over HTTP, so the stage is a server with OpenAI's interface: each rollout has an address of its
own, and its request waits for the reply. Rollouts and server share one event loop, in a thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeAlias

from axpo_envs.adapters.verifiers._harness import HARNESS_ID
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.plumbing.extras import requiring

with requiring("verifiers", "an environment of verifiers"):
    import verifiers.v1 as vf
    from aiohttp import web
    from verifiers.v1.configs.agent import agent_config_fields
    from verifiers.v1.utils.loaders import load_environment, resolve_env_config

Asked: TypeAlias = tuple[list[dict[str, Any]] | None, float]
"""What the model is asked, or None and the reward where the rollout is over."""


class Stage:
    """Where rollouts of an environment of verifiers are played.

    Args:
        config: its settings.
        episodes: how many tasks are needed.
        timeout_s: seconds that a rollout may take between two turns of the model.

    Raises:
        EnvConfigError: there are fewer tasks.
        Exception: whatever verifiers raises of its settings.
    """

    def __init__(self, config: Mapping[str, Any], *, episodes: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._plays: dict[str, Play] = {}
        self._names = itertools.count()
        self._env = load_environment(_with_seats(config))
        self.env_id: Final = str(self._env.config.env_id)
        self._tasks = list(self._env.taskset.take(episodes))
        if len(self._tasks) < episodes:
            raise EnvConfigError(f"verifiers: {self.env_id} has {len(self._tasks)} tasks; expected {episodes}")
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="verifiers", daemon=True).start()
        self._port: int = self.run(self._serve())
        self._serving = self._env.serving()
        self.run(self._serving.__aenter__())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What comes of a coroutine on the stage's loop.

        Raises:
            InfrastructureFault: it took too long.
        """
        promised = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return promised.result(self._timeout_s)
        except concurrent.futures.TimeoutError as error:
            promised.cancel()
            raise InfrastructureFault(f"verifiers: {self.env_id} took more than {self._timeout_s:g} s") from error

    def play(self, number: int) -> Play:
        """A rollout of a task, not begun."""
        name = str(next(self._names))
        self._plays[name] = play = Play(self, self._tasks[number], name)
        return play

    async def rollout(self, play: Play) -> Any:
        """Plays it from beginning to end; returns verifiers' record of it."""
        client = vf.EvalClientConfig(base_url=f"http://127.0.0.1:{self._port}/{play.name}/v1", api_key_var="NONE")
        try:
            return await self._env.run_episode(play.task, vf.ModelContext(model="policy", client=client))
        finally:
            self._plays.pop(play.name, None)

    def __reduce__(self) -> Any:
        raise TypeError("an environment of verifiers lives in one process; make it where it is needed")

    async def _serve(self) -> int:
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/{play}/v1/chat/completions", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    async def _answer(self, request: web.Request) -> web.Response:
        play = self._plays.get(request.match_info["play"])
        if play is None:
            return web.json_response({"error": {"message": "this rollout is over"}}, status=410)
        text = await play.asked_for((await request.json())["messages"])
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = {"id": play.name, "object": "chat.completion", "created": 0, "model": "policy", "choices": [choice]}
        return web.json_response(body)


class Play:
    """A rollout whose model is whoever calls `reply`.

    Args:
        stage: where it is played.
        task: verifiers' task.
        name: tells it from others.
    """

    def __init__(self, stage: Stage, task: Any, name: str) -> None:
        self.task = task
        self.name: Final = name
        self._stage = stage
        self._asked: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()
        self._replies: asyncio.Queue[str] = asyncio.Queue()
        self._rollout: asyncio.Task[Any] | None = None

    def begin(self) -> Asked:
        """What the model is asked first.

        Raises:
            InfrastructureFault: the rollout failed.
        """
        return self._stage.run(self._step(None))  # type: ignore[no-any-return]

    def reply(self, text: str) -> Asked:
        """What the model's turn leads to; raises as `begin` does."""
        return self._stage.run(self._step(text))  # type: ignore[no-any-return]

    def close(self) -> None:
        """Ends it, wherever it is."""
        self._stage.run(self._cancel())

    async def asked_for(self, messages: list[dict[str, Any]]) -> str:
        """The reply to what the model is asked."""
        self._asked.put_nowait(messages)
        return await self._replies.get()

    async def _step(self, text: str | None) -> Asked:
        if self._rollout is None:
            self._rollout = asyncio.create_task(self._stage.rollout(self))
        if text is not None:
            self._replies.put_nowait(text)
        asked = asyncio.create_task(self._asked.get())
        await asyncio.wait([asked, self._rollout], return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            return asked.result(), 0.0
        asked.cancel()
        return None, _reward(self._rollout.result())

    async def _cancel(self) -> None:
        if self._rollout is not None and not self._rollout.done():
            self._rollout.cancel()
            await asyncio.wait([self._rollout])


def _reward(episode: Any) -> float:
    """The sum of the traces' rewards.

    Raises:
        InfrastructureFault: the rollout ended in an error, which is never scored.
    """
    errors = [*episode.errors, *(error for trace in episode.traces for error in trace.errors)]
    if errors or not episode.ok:
        told = "; ".join(f"{error.type}: {error.message}" for error in errors) or "it did not end well"
        raise InfrastructureFault(f"verifiers: a rollout failed: {told:.500}")
    return float(sum(trace.reward for trace in episode.traces))


def _with_seats(config: Mapping[str, Any]) -> Any:
    """The settings, each seat played on this machine by `TurnHarness`, where they do not name another."""
    resolved = resolve_env_config(dict(config))
    data = dict(config)
    for seat in agent_config_fields(resolved):
        own = dict(data.get(seat) or {})
        own.setdefault("runtime", {"type": "subprocess"})
        own.setdefault("harness", {"id": HARNESS_ID})
        data[seat] = own
    return resolve_env_config(data)
