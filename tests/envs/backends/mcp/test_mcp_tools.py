"""The tools of an MCP server that is run as a command, written with the SDK (see mcp_server.py)."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.vector import AutoresetMode

from axpo_envs import EnvConfigError, ImageRef, InfrastructureFault, Question, ToolEnv, ToolStatus
from axpo_envs.backends.mcp import McpServer, McpTools, mcp_tools
from axpo_envs.examples import call_turn
from axpo_envs.plumbing.web._retries import Retries
from axpo_envs.testing import check_tool, check_tool_env
from axpo_envs.tool.protocol import ToolTimeout
from axpo_envs.tools import Effects, ToolArgumentError, ToolContext, ToolResult

PROGRAM = str(Path(__file__).with_name("mcp_server.py"))
SERVER = (sys.executable, PROGRAM)
CONTEXT = ToolContext(question=Question(id="q", prompt=("?",), answer=""), images=(), seed=0)
QUICK = Retries(attempts=2, first_wait_s=0.0)


@pytest.fixture(scope="module")
def tools() -> Iterator[McpTools]:
    with mcp_tools(SERVER) as tools:
        yield tools


def call(tools: McpTools, name: str, /, **arguments: Any) -> ToolResult:
    (tool,) = (tool for tool in tools if tool.name == name)
    result, state = tool.step(tool.validate(arguments), None, CONTEXT)
    assert state is None
    return result


def text_of(result: ToolResult) -> str:
    (text,) = result.content
    assert isinstance(text, str)
    return text


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def becomes_true(condition: Callable[[], bool]) -> bool:
    tick = threading.Event()
    return any(condition() or tick.wait(0.02) for _ in range(500))


def make_env(tools: McpTools, **settings: Any) -> ToolEnv:
    questions = [{"id": "q", "prompt": "?", "answer": "3"}]
    env = gymnasium.make("axpo/ToolTask-v0", questions=questions, tools=tools, **settings).unwrapped
    assert isinstance(env, ToolEnv)
    return env


def test_names_descriptions_and_schemas_are_the_servers(tools: McpTools) -> None:
    add = next(tool for tool in tools if tool.name == "add")
    assert add.description == "Adds two numbers."
    assert add.parameters["properties"]["b"]["default"] == 1
    assert add.parameters["required"] == ["a"]
    assert (add.effects, add.initial_state(CONTEXT.question)) == (Effects.EXTERNAL, None)
    assert len({tool.name for tool in tools}) == len(tools) > 10


def test_a_call_is_answered(tools: McpTools) -> None:
    assert call(tools, "add", a=2) == ToolResult(content=("3",))
    assert call(tools, "add", a=2, b=5) == ToolResult(content=("7",))


def test_text_and_images_are_kept_in_order(tools: McpTools) -> None:
    before, image, after = call(tools, "picture", width=3, height=2).content
    assert (before, after) == ("before", "after\nthat")
    assert isinstance(image, ImageRef)
    assert (image.width, image.height) == (3, 2)
    assert image.pixels.tolist() == [[[255, 0, 0]] * 3] * 2


def test_other_content_becomes_text_that_says_what_it_was(tools: McpTools) -> None:
    first, image, last = call(tools, "kinds").content
    assert first == (
        "[audio: audio/wav, 5 bytes]\n[resource: link, memo://link, text/plain, A link.]\na memo\n"
        "[resource: memo://two, application/zip, 5 bytes]"
    )
    assert isinstance(image, ImageRef)
    assert (image.width, image.height) == (2, 3)
    assert last == "[image: image/png, cannot be decoded]"
    assert text_of(call(tools, "nothing")) == "(no content)"


def test_an_error_of_the_tool_is_read_by_the_policy(tools: McpTools) -> None:
    result = call(tools, "refuse")
    assert result.status is ToolStatus.ERROR
    assert text_of(result).startswith("Error")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "'a' is a required property"),
        ({"a": "2"}, "a: '2' is not of type 'integer'"),
        ({"a": 1, "b": [None]}, "b: .* is not of type 'integer'"),
    ],
)
def test_arguments_that_do_not_fit_never_reach_the_server(
    tools: McpTools, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ToolArgumentError, match=problem):
        call(tools, "add", **arguments)


def test_each_tool_conforms(tools: McpTools) -> None:
    check_tool(next(tool for tool in tools if tool.name == "add"), arguments={"a": 1})
    check_tool(next(tool for tool in tools if tool.name == "picture"), arguments={"width": 1, "height": 1})


def test_an_environment_of_them_conforms() -> None:
    with mcp_tools(SERVER, only=("add", "picture"), effects="pure") as tools:
        env = make_env(tools)
        turns = (call_turn("picture", {"width": 2, "height": 2}), call_turn("add", {"a": 1}), "<answer>3</answer>")
        check_tool_env(env, actions=turns, seeds=(0,), fuzz=10)


def test_long_texts_are_cut_and_say_so() -> None:
    with mcp_tools(SERVER, max_chars=10) as tools:
        assert text_of(call(tools, "long_text", length=10)) == "x" * 10
        assert text_of(call(tools, "long_text", length=25)) == "x" * 10 + "\n[cut: 15 more characters]"


def test_a_slow_call_is_cancelled_at_the_server() -> None:
    with mcp_tools(SERVER, timeout_s=0.3) as tools:
        before = int(text_of(call(tools, "cancelled")))
        with pytest.raises(ToolTimeout, match=r"stopped after 0.3 s"):
            call(tools, "sleep", seconds=60)
        assert becomes_true(lambda: int(text_of(call(tools, "cancelled"))) == before + 1)
        env = make_env(tools)
        env.reset(seed=0)
        env.step(call_turn("sleep", {"seconds": 60}))
        assert env.state.turns[0].calls[0].result.status is ToolStatus.TIMEOUT


def test_calls_of_several_threads_are_under_way_at_once(tools: McpTools) -> None:
    with ThreadPoolExecutor(8) as executor:
        results = list(executor.map(lambda _: text_of(call(tools, "meet", others=8)), range(8)))
    assert results == ["met"] * 8


def test_every_call_of_a_branch_is_made_exactly_once(tools: McpTools) -> None:
    env = make_env(tools, max_turns=4)
    before = int(text_of(call(tools, "count")))
    env.reset(seed=0)
    env.step(call_turn("count", {}))
    moment = env.snapshot()
    for _ in range(50):
        env.restore(moment)
        env.step(call_turn("count", {}))
    assert int(text_of(call(tools, "count"))) == before + 52


def test_a_crash_is_a_fault_and_the_next_call_has_a_new_server(tmp_path: Path) -> None:
    with mcp_tools(SERVER) as tools:
        first = int(text_of(call(tools, "pid")))
        log = tmp_path / "log"
        with pytest.raises(InfrastructureFault, match=r"during a call of die.*last words: I am dying"):
            call(tools, "die", log=str(log))
        assert log.read_text() == "called\n"
        assert not is_alive(first)
        assert int(text_of(call(tools, "pid"))) != first


def test_a_pure_tool_is_called_once_more_after_a_crash(tmp_path: Path) -> None:
    with mcp_tools(SERVER, effects={"die": "pure"}) as tools:
        assert text_of(call(tools, "die", log=str(tmp_path / "once"), times=1)) == "alive"
        with pytest.raises(InfrastructureFault):
            call(tools, "die", log=str(tmp_path / "always"))
        assert len((tmp_path / "always").read_text().splitlines()) == 2


def test_a_server_that_cannot_be_started_again_is_a_fault_after_its_attempts(tmp_path: Path) -> None:
    program = tmp_path / "server.py"
    program.write_text(Path(PROGRAM).read_text())
    with mcp_tools(McpServer(command=(sys.executable, str(program)), retries=QUICK)) as tools:
        program.write_text("import sys; sys.exit('I have retired')")
        with pytest.raises(InfrastructureFault):
            call(tools, "die", log=str(tmp_path / "log"))
        for _ in range(2):
            with pytest.raises(InfrastructureFault, match=r"cannot be connected to.*last words: I have retired"):
                call(tools, "add", a=1)
        program.write_text(Path(PROGRAM).read_text())
        assert text_of(call(tools, "add", a=1)) == "2"


@pytest.mark.parametrize(
    ("server", "limit_s", "problem"),
    [
        (("no-such-program-anywhere",), 60.0, "cannot be run: .*no-such-program-anywhere"),
        ((sys.executable, "-c", "import sys; sys.exit('not today')"), 60.0, "last words: not today"),
        ((sys.executable, "-c", "print('hello')"), 60.0, "cannot be connected to"),
        ((sys.executable, "-c", "import time; time.sleep(600)"), 0.5, "did not answer within 0.5 s"),
    ],
)
def test_a_server_that_cannot_be_used_is_told_at_once(server: tuple[str, ...], limit_s: float, problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        mcp_tools(McpServer(command=server, start_s=limit_s, retries=Retries(attempts=1)))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", "either a command or a URL"),
        ([], "either a command or a URL"),
        ("'unclosed", "expected a command or a URL"),
        (5, "expected an MCP server's command or URL; got 5"),
    ],
)
def test_what_names_no_server_is_told(given: Any, problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        mcp_tools(given)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"effects": "stateful"}, "expected pure or external, for the server keeps its state to itself"),
        ({"effects": {"add": "none"}}, "effects of 'add': expected pure or external"),
        ({"timeout_s": 0}, "timeout_s > 0"),
        ({"max_chars": 0}, "max_chars >= 1"),
    ],
)
def test_unusable_settings_are_told_before_the_server_is_started(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        mcp_tools(("no-such-program-anywhere",), **settings)


@pytest.mark.parametrize("settings", [{"only": ("add", "fly")}, {"effects": {"fly": "pure"}}])
def test_tools_that_the_server_does_not_have_are_told(settings: dict[str, Any]) -> None:
    with pytest.raises(EnvConfigError, match="has no tool 'fly'; its tools are: add, "):
        mcp_tools(SERVER, **settings)


def test_tools_are_chosen_renamed_and_declared() -> None:
    with mcp_tools(SERVER, only=("add", "count"), prefix="my_", effects={"add": "pure"}) as tools:
        assert [(tool.name, tool.effects) for tool in tools] == [
            ("my_add", Effects.PURE),
            ("my_count", Effects.EXTERNAL),
        ]
        assert text_of(call(tools, "my_add", a=1)) == "2"


def test_a_command_may_be_one_text() -> None:
    env = gymnasium.make(
        "axpo/ToolTask-v0",
        questions=[{"id": "q", "prompt": "?", "answer": "3"}],
        tools=f"mcp:'{sys.executable}' '{PROGRAM}'",
    ).unwrapped
    assert isinstance(env, ToolEnv)
    assert "add" in [tool.name for tool in env.tools]


def test_a_server_is_given_the_variables_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDED_ON", "one")
    monkeypatch.setenv("A_SECRET", "two")
    server = McpServer(command=SERVER, environment=("HANDED_ON", "SET=three=3"))
    with mcp_tools(server) as tools:
        values = [text_of(call(tools, "environment", name=name)) for name in ("HANDED_ON", "SET", "A_SECRET")]
    assert values == ["one", "three=3", "not set"]
    with pytest.raises(EnvConfigError, match="set the environment variable MISSING"):
        mcp_tools(McpServer(command=SERVER, environment=("MISSING",)))


def test_closing_ends_the_server_and_a_later_call_starts_another() -> None:
    with mcp_tools(SERVER) as tools:
        process = int(text_of(call(tools, "pid")))
        assert is_alive(process)
    assert not is_alive(process)
    again = int(text_of(call(tools, "pid")))
    assert again != process
    tools.close()
    tools.close()
    assert not is_alive(again)


def test_a_server_that_does_not_end_by_itself_is_killed_with_its_children() -> None:
    with mcp_tools(SERVER) as tools:
        processes = [int(text_of(call(tools, name))) for name in ("pid", "child", "stay")]
        assert all(map(is_alive, processes[:2]))
    assert becomes_true(lambda: not any(map(is_alive, processes[:2])))


def test_a_forgotten_server_ends() -> None:
    tools = mcp_tools(SERVER)
    process = int(text_of(call(tools, "pid")))
    del tools
    gc.collect()
    assert becomes_true(lambda: not is_alive(process))


def test_a_server_ends_with_the_program_that_started_it() -> None:
    script = f"""
from axpo_envs.backends.mcp import mcp_tools
from axpo_envs.tools import ToolContext
tools = mcp_tools({SERVER!r}, only=("pid",))
print(tools[0].step({{}}, None, None)[0].content[0])
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert not is_alive(int(done.stdout))


def test_a_copy_in_this_process_shares_the_server_and_one_in_another_has_its_own(tools: McpTools) -> None:
    tool = next(tool for tool in tools if tool.name == "pid")
    own = text_of(tool.step({}, None, CONTEXT)[0])
    pickled = pickle.dumps([tool])
    (copy,) = pickle.loads(pickled)
    assert (copy.parameters, copy.effects) == (tool.parameters, tool.effects)
    assert text_of(copy.step({}, None, CONTEXT)[0]) == own
    script = """
import pickle, sys
(tool,) = pickle.loads(sys.stdin.buffer.read())
print(tool.step({}, None, None)[0].content[0])
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], input=pickled, check=True, capture_output=True)
    assert int(done.stdout) != int(own)
    assert not is_alive(int(done.stdout))


def test_a_forked_process_has_a_server_of_its_own(tools: McpTools) -> None:
    own = text_of(call(tools, "pid"))
    vector = gymnasium.make_vec(
        "axpo/ToolTask-v0",
        num_envs=2,
        vectorization_mode="async",
        vector_kwargs={"autoreset_mode": AutoresetMode.DISABLED, "context": "fork"},
        questions=[{"id": "q", "prompt": "?", "answer": "3"}],
        tools=tools,
    )
    try:
        vector.reset(seed=0)
        observations, *_ = vector.step((call_turn("pid", {}),) * 2)
        processes = {text.splitlines()[1] for text in observations["text"]}
        assert len(processes | {own}) == 3
    finally:
        vector.close()
    assert text_of(call(tools, "pid")) == own
    assert becomes_true(lambda: not any(is_alive(int(process)) for process in processes))
    assert os.getpid() != int(own)


def test_without_the_package_mcp_the_extra_is_named() -> None:
    script = """
import sys
sys.modules["mcp"] = None
import axpo_envs
try:
    from axpo_envs.backends.mcp import mcp_tools
except axpo_envs.EnvConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True)
    assert "pip install 'axpo[mcp]'" in done.stdout
