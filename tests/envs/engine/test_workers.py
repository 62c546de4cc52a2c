"""Worker processes: calls are killed at their limit, tools and states travel, and nobody outlives its owner."""

import copy
import marshal
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import cloudpickle
import numpy as np
import pytest

from axpo_envs import EnvConfigError, ImageRef, InfrastructureFault, Question
from axpo_envs.engine.workers import TimedStep, WorkerPool
from axpo_envs.engine.workers._parcels import ToolParcel, pack, unpack
from axpo_envs.tools import Effects, ToolContext, ToolError, ToolTimeout, tool

IMAGE = ImageRef(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
CONTEXT = ToolContext(question=Question(id="q", prompt=("?", IMAGE), answer=""), images=(IMAGE,), seed=3)
LONG_S = 60.0


class Job:
    """Anything with a step; this one calls a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def step(self, *given: Any) -> Any:
        return self.function(*given)


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(size=2)
    yield pool
    pool.close()


def run(pool: WorkerPool, function: Callable[..., Any], *given: Any, limit_s: float = LONG_S) -> Any:
    job = Job(function)
    return pool.run(ToolParcel(name="job", tool=job, home=__name__), given, limit_s=limit_s)


def test_a_call_at_its_limit_is_dead_with_the_processes_it_has_started(pool: WorkerPool, tmp_path: Path) -> None:
    # A FIFO is at its end for readers when nobody who could write is left.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def spawn() -> None:
        with fifo.open("w") as writer:
            subprocess.Popen(["sleep", "1000"], stdout=writer)
            (tmp_path / "spawned").touch()
            time.sleep(1000)

    with pytest.raises(ToolTimeout, match=r"stopped after 1 s"):
        run(pool, spawn, limit_s=1.0)
    assert (tmp_path / "spawned").exists()
    assert wait_for(lambda: read_at_once(reader) == b"")
    os.close(reader)


def test_a_worker_is_kept_for_the_next_call_and_replaced_after_it_was_killed(pool: WorkerPool) -> None:
    first = run(pool, os.getpid)
    assert run(pool, os.getpid) == first != os.getpid()
    with pytest.raises(ToolTimeout):
        run(pool, time.sleep, 1000, limit_s=0.05)
    assert run(pool, os.getpid) != first


def test_a_worker_forgets_tools_when_it_has_many(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axpo_envs.engine.workers._pool.MAX_TOOLS", 2)
    jobs = [Job(lambda number=number: number) for number in range(3)]
    parcels = [ToolParcel(name="job", tool=job, home=__name__) for job in jobs]
    order = (0, 1, 0, 2, 2, 0, 1, 2)
    assert tuple(pool.run(parcels[number], (), limit_s=LONG_S) for number in order) == order


def test_calls_beyond_the_pools_size_wait_at_no_cost_to_their_limits(pool: WorkerPool) -> None:
    run(pool, os.getpid)
    with ThreadPoolExecutor(6) as threads:
        workers = list(threads.map(lambda _: run(pool, lambda: (time.sleep(0.05), os.getpid())[1]), range(6)))
    assert 1 <= len(set(workers)) <= 2


def test_images_states_and_contexts_travel_unharmed(pool: WorkerPool) -> None:
    assert run(pool, lambda *given: given, {"a": 1}, (IMAGE, "ä\ud800"), CONTEXT) == (
        {"a": 1},
        (IMAGE, "ä\ud800"),
        CONTEXT,
    )
    assert unpack(pack(IMAGE)).pixels.flags.writeable is False


@pytest.mark.parametrize("error", [ToolError("no"), InfrastructureFault("down"), KeyError("k")])
def test_exceptions_travel_with_the_place_they_come_from(pool: WorkerPool, error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error), match=r"test_workers.py.*in fail") as caught:
        run(pool, fail)
    assert caught.value.args == error.args


def without_its_file(code: CodeType) -> tuple[Any, ...]:
    return marshal.loads, (marshal.dumps(code.replace(co_filename="<dynamic-code>")),)


def with_its_file(code: CodeType) -> tuple[Any, ...]:
    return marshal.loads, (marshal.dumps(code),)


@pytest.mark.parametrize("reduce_code", [without_its_file, with_its_file])
def test_a_tools_error_tells_its_file_and_line_whatever_cloudpickle_makes_of_code(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, reduce_code: Callable[[CodeType], Any]
) -> None:
    monkeypatch.setitem(cloudpickle.Pickler.dispatch_table, CodeType, reduce_code)

    def fail() -> None:
        def deeper() -> None:
            raise KeyError("k")

        deeper()

    lines = [fail.__code__.co_firstlineno + offset for offset in (4, 2)]
    with pytest.raises(KeyError, match=r'test_workers.py", line {}, in fail(.|\n)*line {}, in deeper'.format(*lines)):
        run(pool, fail)


class Picky(Exception):
    """Cannot be unpickled."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__("picky")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: (_ for _ in ()).throw(Picky(1, 2)), "Picky: picky"),
        (lambda: sys.exit(7), "SystemExit: 7"),
        (threading.Lock, "TypeError: cannot pickle"),
    ],
)
def test_what_cannot_travel_back_is_told_in_words(pool: WorkerPool, function: Any, message: str) -> None:
    with pytest.raises((RuntimeError, TypeError), match="cannot pickle" if "pickle" in message else message):
        run(pool, function)


def test_a_dead_worker_is_an_infrastructure_fault_and_the_next_call_is_well(pool: WorkerPool) -> None:
    with pytest.raises(InfrastructureFault, match="worker of tool 'job' died, exit status 3"):
        run(pool, os._exit, 3)
    with pytest.raises(InfrastructureFault, match="exit status -11"):
        run(pool, lambda: os.kill(os.getpid(), signal.SIGSEGV))
    idle = run(pool, os.getpid)
    os.kill(idle, signal.SIGKILL)
    assert wait_for(lambda: run(pool, os.getpid) != idle)


def test_a_dead_nursery_is_an_infrastructure_fault_and_another_one_is_started(pool: WorkerPool) -> None:
    nursery = run(pool, os.getppid)
    os.kill(nursery, signal.SIGKILL)
    with pytest.raises((ToolTimeout, InfrastructureFault)):
        # Its workers live on, until it turns out that none can be killed or started.
        run(pool, time.sleep, 1000, limit_s=0.05)
    assert wait_for(lambda: run(pool, os.getppid) != nursery)


def wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except InfrastructureFault:
            continue
    return False


SOURCE = """
from dataclasses import dataclass
from axpo_envs.tools import tool

@dataclass(frozen=True)
class Basket:
    items: tuple = ()

def joined(items):
    return "+".join(items)

@tool(initial_state=Basket(), timeout_s=60.0)
def put(item: str, state):
    '''Puts something in.'''
    state = Basket((*state.items, item))
    return joined(state.items), state

class Putting:
    name, description, effects, timeout_s = "putting", "Puts.", put.effects, 60.0
    parameters, validate, initial_state = put.parameters, put.validate, put.initial_state

    def step(self, arguments, state, context):
        return put.step(arguments, Basket(state.items), context)
"""


@pytest.mark.parametrize("importable", [True, False])
def test_tools_of_a_module_travel_whether_or_not_a_worker_can_import_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, importable: bool
) -> None:
    name = f"baskets_{importable}".lower()
    if importable:
        (tmp_path / f"{name}.py").write_text(SOURCE)
        monkeypatch.syspath_prepend(tmp_path)
        module = __import__(name)
    else:
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(SOURCE, module.__dict__)
    for made in (module.put, module.Putting()):
        step = TimedStep(made)
        result, state = step({"item": "a"}, module.Basket(), CONTEXT)
        result, state = step({"item": "b"}, state, CONTEXT)
        assert result.content == ("a+b",)
        assert type(state) is module.Basket
        assert state == module.Basket(("a", "b"))
        assert copy.deepcopy(step) is step
        assert pickle.loads(pickle.dumps(step))({"item": "c"}, state, CONTEXT)[0].content == ("a+b+c",)


def test_closures_and_what_they_refer_to_travel() -> None:
    @dataclass(frozen=True)
    class Local:
        number: int

    def double(value: int) -> Local:
        return Local(2 * value)

    @tool(timeout_s=LONG_S)
    def compute(number: int, context: ToolContext) -> str:
        """Doubles."""
        return f"{double(number)} {context.images[0] == IMAGE} {os.getpid()}"

    result, state = TimedStep(compute)({"number": 2}, None, CONTEXT)
    worker = str(result.content[0]).split()[-1]
    assert str(result.content[0]).endswith(f"Local(number=4) True {worker}")
    assert worker != str(os.getpid())
    assert state is None


def test_a_function_that_does_not_ask_for_the_context_is_not_sent_it() -> None:
    @tool(timeout_s=LONG_S)
    def ignore(number: int) -> int:
        """Ignores where it is."""
        return number

    unsendable: Any = threading.Lock()
    assert TimedStep(ignore)({"number": 2}, None, unsendable)[0].content == ("2",)


def test_what_cannot_be_sent_is_refused_when_the_environment_is_made() -> None:
    lock = threading.Lock()

    @tool(timeout_s=1.0, effects=Effects.EXTERNAL)
    def locked() -> str:
        """Holds a lock."""
        with lock:
            return ""

    with pytest.raises(EnvConfigError, match=r"tool 'locked' has a time limit, so .* cannot pickle"):
        TimedStep(locked)


class Elsewhere:
    """Refers to a module that is nowhere."""

    name = "elsewhere"
    timeout_s = LONG_S

    def __reduce__(self) -> Any:
        return _load_from_nowhere, ()

    def step(self, *given: Any) -> Any:
        raise NotImplementedError


def _load_from_nowhere() -> Any:
    raise ModuleNotFoundError("No module named 'nowhere'")


def test_a_tool_that_no_worker_can_load_is_named_with_the_reason() -> None:
    made: Any = Elsewhere()
    with pytest.raises(EnvConfigError, match="cannot load tool 'elsewhere': ModuleNotFoundError: No module named"):
        TimedStep(made)({}, None, CONTEXT)


def script(body: str) -> list[str]:
    opening = """
        import os, subprocess, sys, time
        from axpo_envs.tools import tool
        from axpo_envs.engine.workers import TimedStep
    """
    return [sys.executable, "-W", "error", "-c", textwrap.dedent(opening) + textwrap.dedent(body)]


def test_a_script_without_a_main_guard_may_have_tools_with_time_limits_and_forks() -> None:
    body = """
        number = 3

        @tool
        def times(left: int, right: int) -> int:
            "Multiplies."
            return left * right

        @tool(timeout_s=60.0)
        def triple(value: int) -> int:
            "Triples."
            print("tripling")
            return times(number, value)

        step = TimedStep(triple)
        assert step({"value": 2}, None, None)[0].content == ("6",)
        child = os.fork()
        assert step({"value": 3}, None, None)[0].content == ("9",)
        if child:
            assert os.waitpid(child, 0)[1] == 0
            assert step({"value": 4}, None, None)[0].content == ("12",)
    """
    ended = subprocess.run(script(body), capture_output=True, text=True, timeout=60, check=True)
    assert ended.stderr == ""
    assert ended.stdout == "tripling\n" * 4


def test_no_worker_outlives_its_owner(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    body = f"""
        @tool(timeout_s=1000.0)
        def spin() -> str:
            "Spins."
            with open({str(fifo)!r}, "w") as writer:
                subprocess.Popen(["sleep", "1000"], stdout=writer)
                writer.write("here")
                writer.flush()
                while True:
                    pass

        TimedStep(spin)({{}}, None, None)
    """
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(script(body), stderr=subprocess.DEVNULL) as owner:
        try:
            assert wait_for(lambda: read_at_once(reader) == b"here")
            assert read_at_once(reader) is None
        finally:
            owner.kill()
    assert wait_for(lambda: read_at_once(reader) == b"")
    os.close(reader)


def read_at_once(reader: int) -> bytes | None:
    """What is there to read; nothing where all writers have gone (or none has come), None where one is silent."""
    try:
        return os.read(reader, 100)
    except BlockingIOError:
        return None
