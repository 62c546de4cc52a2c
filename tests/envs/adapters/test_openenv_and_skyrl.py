"""Our side of OpenEnv and SkyRL-gym, against stand-ins with their names (openenv-core 0.3, skyrl-gym 0.4).

`axpo-bench adapters` runs the same and more against the libraries.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any, Generic, TypedDict, TypeVar

import numpy as np
import pydantic
import pytest

from axpo_envs import (
    ExactMatch,
    ImageRef,
    InfrastructureFault,
    ListQuestions,
    Question,
    ToolEnv,
    ToolEnvSpec,
    call_turn,
)
from axpo_envs.adapters.openenv import observation_parts, openenv_env
from axpo_envs.adapters.sessions import RewindFault
from axpo_envs.errors import EnvConfigError
from axpo_envs.tools import ImageZoomIn, tool

T = TypeVar("T")
PICTURE = ImageRef(np.arange(40 * 60 * 3, dtype=np.int64).reshape(40, 60, 3).astype(np.uint8))


@tool
def add(a: int, b: int) -> int:
    """Adds two whole numbers."""
    if a == 99:
        raise InfrastructureFault("the adder is down")
    return a + b


def sums() -> ToolEnv:
    questions = ListQuestions([Question(id=f"{a}", prompt=(f"What is {a} + 2?",), answer=str(a + 2)) for a in range(4)])
    spec = ToolEnvSpec(
        env_id="T", questions=questions, tools=(add,), reward=ExactMatch(), instructions="Answer in <answer>."
    )
    return ToolEnv(spec)


def looking() -> ToolEnv:
    questions = ListQuestions([Question(id="q", prompt=("Look: ", PICTURE), answer="7")])
    return ToolEnv(
        ToolEnvSpec(env_id="Z", questions=questions, tools=(ImageZoomIn(),), reward=ExactMatch(), view_size=60)
    )


def module(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(members)
    monkeypatch.setitem(sys.modules, name, made)
    return made


@pytest.fixture
def openenv(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What openenv-core 0.3 publishes and the adapter uses."""

    class Strict(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        metadata: dict[str, Any] = {}

    class Observation(Strict):
        done: bool = False
        reward: float | None = None

    class State(pydantic.BaseModel):
        episode_id: str | None = None
        step_count: int = 0

    class Environment:
        SUPPORTS_CONCURRENT_SESSIONS = False

    apps: list[Any] = []

    def create_app(*arguments: Any, **options: Any) -> Any:
        apps.append((arguments, options))
        return apps[-1]

    types = "openenv.core.env_server.types"
    for name in ("openenv", "openenv.core"):
        module(monkeypatch, name)
    module(monkeypatch, "openenv.core.env_server", create_app=create_app)
    module(monkeypatch, "openenv.core.env_server.interfaces", Environment=Environment)
    module(monkeypatch, types, Action=Strict, Observation=Observation, State=State)
    monkeypatch.delitem(sys.modules, "axpo_envs.adapters.openenv._server", raising=False)
    import axpo_envs.adapters.openenv as adapter

    yield adapter
    sys.modules.pop("axpo_envs.adapters.openenv._server", None)


def test_an_episode_over_openenvs_interface(openenv: Any) -> None:
    env = openenv.OpenEnvEnvironment(sums())
    first = env.reset(index=1)
    assert (first.text, first.done, first.reward) == ("What is 1 + 2?", False, None)
    assert first.tools[0]["function"]["name"] == "add"
    shown = env.step(openenv.TurnAction(text=call_turn("add", {"a": 1, "b": 2})))
    assert (shown.text, shown.reward) == ("<tool_response>\n3\n</tool_response>", None)
    with pytest.raises(InfrastructureFault):
        env.step(openenv.TurnAction(text=call_turn("add", {"a": 99, "b": 2})))
    assert env.state.step_count == 1
    last = env.step(openenv.TurnAction(text="<answer>3</answer>"))
    assert (last.done, last.reward, last.stop) == (True, 1.0, "answered")
    with pytest.raises(RuntimeError, match="reset"):
        env.step(openenv.TurnAction(text="again"))


def test_a_seed_names_question_and_tools_and_the_answer_is_not_told(openenv: Any) -> None:
    texts = {openenv.OpenEnvEnvironment(sums()).reset(seed=5).text for _ in range(3)}
    assert len(texts) == 1
    first = openenv.OpenEnvEnvironment(looking()).reset(index=0)
    assert first.text == "Look: [image]"
    assert observation_parts({"text": "x", "images": first.images})[1] == PICTURE
    assert '"7"' not in first.model_dump_json()


def test_the_application_is_made_of_our_types(openenv: Any) -> None:
    (factory, action, observation), options = openenv.openenv_app(sums(), sessions=3)
    assert factory().reset(index=0).text == "What is 0 + 2?"
    assert (action, observation) == (openenv.TurnAction, openenv.TurnObservation)
    assert options == {"env_name": "T", "max_concurrent_envs": 3}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        schema = {"type": "object", "properties": {"by": {"type": "integer"}, "metadata": {}}, "required": ["by"]}
        body = json.dumps({"action": schema}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A schema over HTTP, and a client as `GenericEnvClient.sync()` is: a counter that starts at its seed."""

    class Client:
        def __init__(self, base_url: str, message_timeout_s: float) -> None:
            self.value = 0

        def sync(self) -> Any:
            return self

        def reset(self, seed: int) -> Any:
            self.value = seed
            return SimpleNamespace(
                observation={"text": f"At {seed}.", "metadata": {"secret": 1}}, reward=None, done=False
            )

        def step(self, action: dict[str, Any]) -> Any:
            if action["by"] == "x":
                raise RuntimeError("Server error: Invalid message (code: VALIDATION_ERROR)")
            if action["by"] == 13:
                raise RuntimeError("Server error: boom (code: EXECUTION_ERROR)")
            self.value += action["by"]
            return SimpleNamespace(observation={"text": f"{self.value}"}, reward=0.5, done=self.value > 9)

        def close(self) -> None:
            """Nothing to close."""

    for name in ("openenv", "openenv.core"):
        module(monkeypatch, name)
    module(monkeypatch, "openenv.core.generic_client", GenericEnvClient=Client)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


def test_an_environment_behind_a_server_is_played_branched_and_scored(server: str) -> None:
    env = openenv_env(server, episodes=3, deterministic=True)
    assert dict(env.tools[0].parameters["properties"]) == {"by": {"type": "integer"}}
    start = env.begin(env.questions.question(2))
    assert env.opening(start) == ("At 2.",)
    state = env.advance(start, call_turn("act", {"by": 1})).state
    left, right = (env.advance(state, call_turn("act", {"by": by})).state for by in (2, 4))
    assert [one.turns[-1].calls[0].result.content for one in (left, right)] == [("5",), ("7",)]
    assert env.advance(left, "<answer>done</answer>").reward == 1.0
    refused = env.advance(state, call_turn("act", {"by": "x"})).state
    assert refused.turns[-1].calls[0].result.status == "error"
    with pytest.raises(InfrastructureFault, match="boom"):
        env.advance(state, call_turn("act", {"by": 13}))


def test_without_the_declaration_nothing_is_replayed(server: str) -> None:
    env = openenv_env(server, episodes=1)
    state = env.advance(env.begin(env.questions.question(0)), call_turn("act", {"by": 1})).state
    env.advance(state, call_turn("act", {"by": 2}))
    with pytest.raises(RewindFault):
        env.advance(state, call_turn("act", {"by": 3}))


def test_no_server_is_a_configuration_error() -> None:
    with pytest.raises(EnvConfigError, match="expected an OpenEnv server"):
        openenv_env("http://127.0.0.1:9", episodes=1, timeout_s=1)


def test_observations_are_text_or_json_without_what_is_not_the_policys() -> None:
    assert observation_parts({"text": "hi", "done": False, "reward": 1.0, "metadata": {"answer": 7}}) == ("hi",)
    assert observation_parts({"a": 1, "b": [2]}) == ('{"a": 1, "b": [2]}',)


@pytest.fixture
def skyrl(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What skyrl-gym 0.4 publishes and the adapter uses."""
    registry: dict[str, Any] = {}

    class BaseTextEnv(Generic[T]):
        def __init__(self) -> None:
            self.turns, self.max_turns = 0, 1

    class Output(TypedDict):
        observations: list[dict[str, str]]
        reward: float
        done: bool
        metadata: dict[str, Any]

    module(monkeypatch, "skyrl_gym", register=lambda id, entry_point: registry.update({id: entry_point}))
    module(monkeypatch, "skyrl_gym.envs")
    base = "skyrl_gym.envs.base_text_env"
    module(monkeypatch, base, BaseTextEnv=BaseTextEnv, BaseTextEnvStepOutput=Output)
    monkeypatch.delitem(sys.modules, "axpo_envs.adapters.skyrl_gym._env", raising=False)
    import axpo_envs.adapters.skyrl_gym as adapter

    yield SimpleNamespace(adapter=adapter, registry=registry)
    sys.modules.pop("axpo_envs.adapters.skyrl_gym._env", None)


def test_an_episode_as_a_text_environment_of_skyrl(skyrl: Any) -> None:
    env = sums()
    skyrl.adapter.register_skyrl("axpo_sums", env)
    (row,) = skyrl.adapter.skyrl_rows(env, "axpo_sums", 1, first=1)
    assert row["env_class"] == "axpo_sums"
    episode = skyrl.registry["axpo_sums"](env_config={}, extras=row)
    shown = episode.step(call_turn("add", {"a": 1, "b": 2}))
    assert shown["observations"] == [{"role": "user", "content": "<tool_response>\n3\n</tool_response>"}]
    with pytest.raises(InfrastructureFault):
        episode.step(call_turn("add", {"a": 99, "b": 2}))
    last = episode.step("<answer>3</answer>")
    assert (last["reward"], last["done"], last["observations"]) == (1.0, True, [])
    assert episode.get_metrics() == {"calls": 1, "calls_succeeded": 1, "correct": 1.0}
    with pytest.raises(ValueError, match="index"):
        skyrl.registry["axpo_sums"](extras={})
