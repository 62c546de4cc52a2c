"""Mathematics as answers, compared by math-verify in processes that are ended in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs import EnvConfigError, EpisodeState, InfrastructureFault, Question
from axpo_envs.rewards import _math_equality as math_equality
from axpo_envs.rewards import _math_workers as math_workers
from axpo_envs.rewards._math_equality import MAX_ANSWER_CHARS, MathVerify, plain_verdict
from axpo_envs.rewards._math_text import as_latex, marked_part
from axpo_envs.rewards._math_workers import Reply, ask_worker
from axpo_envs.rewards._numeric import Numeric

LIMITS = (5.0, 600.0)


def score(reference: str, answer: str | None, **limits: float) -> float:
    question = Question(id="q", prompt=("?",), answer=reference)
    (term,) = MathVerify(**limits)(question, answer, EpisodeState(question=question, seed=0))
    assert term.name == "math"
    return term.value


@pytest.mark.parametrize(
    ("reference", "answer", "right"),
    [
        (r"\frac{1}{2}", "0.5", True),
        (r"\frac{1}{2}", r"\boxed{\frac{2}{4}}", True),
        ("x^2 + 2x + 1", "$(x+1)^2$", True),
        (r"\{1, 2\}", "{2, 1}", True),
        (r"\sqrt{8}", r"2\sqrt{2}", True),
        ("x = 5", "5", True),
        ("1,234", "1234", True),
        (r"\frac{1}{2}", "0.6", False),
        ("(1, 2]", "[1, 2)", False),
        ("5", "", False),
        ("5", "}{\\frac{", False),
        ("5", None, False),
        ("5", "5" + " " * MAX_ANSWER_CHARS, False),
        ("2\\pi + 1", "1 + 2π", True),
        ("5", "\ud800", False),
    ],
)
def test_what_is_mathematically_equal_is_right(reference: str, answer: str | None, right: bool) -> None:
    assert score(reference, answer) == float(right)


def test_a_comparison_that_uses_up_its_processor_time_is_ended_and_wrong() -> None:
    assert score("1", "9^{9^{9^{9}}}", timeout_s=0.5) == 0.0
    assert score("x^2", "x x") == 1.0


def test_a_process_that_gets_no_processor_time_is_a_fault_and_nothing_is_scored() -> None:
    assert ask_worker("y", "y", *LIMITS) == {"parsed": True, "equal": True}
    while len(math_workers._pool().idle) > 1:
        math_workers._pool().take().end()
    os.kill(math_workers._pool().idle[0]._process.pid, signal.SIGSTOP)
    with pytest.raises(InfrastructureFault, match=r"gave no verdict within 0\.1 s"):
        score("x^2 + y", "y + x^2", patience_s=0.1)
    assert score("x^2 + y", "y + x^2") == 1.0


def test_a_process_that_is_killed_during_a_comparison_is_a_fault() -> None:
    worker = math_workers._Worker()
    os.kill(worker._process.pid, signal.SIGSTOP)
    killer = threading.Timer(0.2, os.kill, (worker._process.pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(InfrastructureFault, match="was killed"):
        worker.ask("1", "1", *LIMITS)
    killer.join()


def test_it_works_in_threads() -> None:
    with ThreadPoolExecutor(6) as executor:
        values = list(executor.map(lambda number: score(f"{number}x", f"x {number}"), range(1000, 1012)))
    assert values == [1.0] * 12
    assert len(math_workers._pool().idle) <= math_workers.MAX_WORKERS


def test_a_process_that_died_is_replaced() -> None:
    assert ask_worker("3", "3", *LIMITS) == {"parsed": True, "equal": True}
    for worker in math_workers._pool().idle:
        os.kill(worker._process.pid, signal.SIGKILL)
        worker._process.wait()
    assert score("z + 3", "3 + z") == 1.0


def test_an_answer_that_ends_every_process_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def ask(reference: str, answer: str | None, timeout_s: float, patience_s: float) -> Reply | None:
        asked.append(answer)
        return Reply(parsed=True, equal=True) if answer == "1" else None

    monkeypatch.setattr(math_equality, "ask_worker", ask)
    assert score("31", "x^2") == 0.0
    assert asked == ["x^2", "x^2", "1"]


def test_processes_that_always_die_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math_equality, "ask_worker", lambda *_: None)
    with pytest.raises(InfrastructureFault, match="ends without an answer"):
        score("37", "x")


def test_the_processes_see_no_keys_and_end_with_their_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    script = """
import threading
from axpo_envs.rewards import _math_workers
worker = _math_workers._Worker()
assert worker.ask("1", "1", 5.0, 600.0)["equal"]
pid = worker._process.pid
print(pid, "sk-secret" in open(f"/proc/{pid}/environ").read(), flush=True)
import os
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    pid, seen = done.stdout.split()
    assert seen == "False"
    gone = threading.Event()
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
            gone.set()
            break
        gone.wait(0.05)
    assert gone.is_set()


def test_references_that_are_no_mathematics_are_told() -> None:
    def problem(answer: str) -> str | None:
        return MathVerify().problem(Question(id="q", prompt=("?",), answer=answer))

    assert problem("12 cm") is None
    assert problem(r"\frac{x}{2}") is None
    assert "expected mathematics" in (problem("}{") or "")


def test_what_is_missing_or_unusable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvConfigError, match="timeout_s"):
        MathVerify(timeout_s=0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnvConfigError, match=r"pip install 'axpo\[math\]'"):
        MathVerify()


@given(st.text(max_size=40), st.text(alphabet="12x'%/^{}$\\\\ .e\u00b2\u00bd\u221a", max_size=30))
def test_any_texts_are_prepared_without_raising(text: str, formula: str) -> None:
    for given_text in (text, formula):
        part = marked_part(given_text)
        as_latex(part)
        plain_verdict(part, text)


def test_any_of_several_references_will_do() -> None:
    question = Question(id="q", prompt=("?",), answer="x^2", alternatives=("5",))
    state = EpisodeState(question=question, seed=0)
    assert [MathVerify()(question, answer, state)[0].value for answer in ("x x", "5.0", "6")] == [1, 1, 0]


@given(*(st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=3),) * 2)
def test_plain_numbers_are_worth_what_numeric_gives(one: Decimal, other: Decimal) -> None:
    for answer in (f"{other}", f"{one:,f}", f"{one:e}", f"{one}\\%"):
        assert plain_verdict(str(one), answer) == Numeric().is_right(str(one), answer)
