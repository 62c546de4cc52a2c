import asyncio
import subprocess
import sys
import threading

import pytest

from axpo_envs import ExactMatch, ListQuestions, Question, ToolEnv, ToolEnvSpec
from axpo_envs.engine._event_loop import run_coroutine
from axpo_envs.examples import call_turn
from axpo_envs.tools import ToolStatus, ToolTimeout, tool


async def where() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    await asyncio.sleep(0)
    return asyncio.get_running_loop(), threading.current_thread()


def test_every_coroutine_runs_on_the_same_loop_in_a_thread_of_its_own() -> None:
    loop, thread = run_coroutine(where())
    assert run_coroutine(where(), limit_s=20.0) == (loop, thread)
    assert thread is not threading.current_thread()


def test_a_caller_with_a_loop_of_its_own_may_wait_too() -> None:
    async def caller() -> bool:
        return run_coroutine(where())[0] is asyncio.get_running_loop()

    assert asyncio.run(caller()) is False


def test_at_its_limit_a_coroutine_is_cancelled_where_it_waits() -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    with pytest.raises(ToolTimeout, match=r"stopped after 0.02 s"):
        run_coroutine(endless(), limit_s=0.02)
    assert ended == ["cleaned up"]


@pytest.mark.parametrize("error", [TimeoutError("the server's"), ZeroDivisionError("oops")])
def test_a_coroutines_own_exceptions_pass(error: Exception) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        run_coroutine(fail(), limit_s=20.0)
    assert str(caught.value) == str(error)


def test_waiting_for_the_loop_on_the_loop_is_refused() -> None:
    async def nested() -> None:
        run_coroutine(where())

    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        run_coroutine(nested())


def test_a_coroutine_that_nothing_can_stop_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axpo_envs.engine._event_loop.GRACE_S", 0.02)
    release = threading.Event()

    async def block() -> None:
        release.wait(timeout=20)

    with pytest.raises(RuntimeError, match="must not block the event loop"):
        run_coroutine(block(), limit_s=0.02)
    release.set()
    run_coroutine(where())


def test_an_async_tool_past_its_limit_is_an_observation() -> None:
    @tool(timeout_s=0.02)
    async def wait() -> str:
        """Waits for ever."""
        await asyncio.Event().wait()
        return ""

    questions = ListQuestions([Question(id="q", prompt=("?",), answer="")])
    env = ToolEnv(ToolEnvSpec(env_id="test", questions=questions, tools=(wait,), reward=ExactMatch()))
    env.reset()
    observation, *_ = env.step(call_turn("wait", {}))
    assert env.state.turns[0].calls[0].result.status is ToolStatus.TIMEOUT
    assert "stopped after 0.02 s" in observation["text"]


LEAVING = """
import asyncio, os
from axpo_envs.engine._event_loop import run_coroutine

async def begin():
    begin.task = asyncio.get_running_loop().create_task(asyncio.Event().wait())
    return os.getpid()

parent = run_coroutine(begin())
child = os.fork()
if child == 0:
    assert run_coroutine(begin()) != parent
else:
    assert os.waitpid(child, 0)[1] == 0
    assert run_coroutine(begin()) == parent
"""


def test_a_process_ends_cleanly_with_coroutines_under_way_and_a_forked_one_has_its_own_loop() -> None:
    # From Python 3.12 on, forking beside a thread is deprecated; that is what the test is about.
    warnings = ["-W", "error", "-W", "ignore::DeprecationWarning"]
    command = [sys.executable, *warnings, "-c", LEAVING]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stderr == ""
