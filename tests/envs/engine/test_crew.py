import threading

import pytest

from axpo_envs.engine.crew import Crew


def test_values_come_in_the_order_of_the_items() -> None:
    with Crew() as crew:
        assert crew.map(lambda item: 2 * item, range(1000)) == list(range(0, 2000, 2))
        assert crew.map(str, []) == []


def test_a_single_item_needs_no_thread() -> None:
    with Crew() as crew:
        assert crew.map(lambda item: threading.current_thread(), [0]) == [threading.main_thread()]


def test_items_that_keep_others_waiting_are_joined_by_all_others() -> None:
    barrier = threading.Barrier(100)
    with Crew() as crew:
        assert sorted(crew.map(lambda item: barrier.wait(timeout=20), range(100))) == list(range(100))


def test_a_round_may_start_with_several_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axpo_envs.engine.crew.PATIENCE_S", 60.0)
    barrier = threading.Barrier(4)
    with Crew(first=4) as crew:
        crew.map(lambda item: barrier.wait(timeout=20), range(4))


def test_the_first_exception_is_raised_and_what_had_not_begun_is_left_out() -> None:
    done: list[int] = []
    release = threading.Event()

    def work(item: int) -> None:
        if item == 1:
            raise ZeroDivisionError("oops")
        done.append(item)
        if item == 0:
            release.wait(timeout=20)

    with Crew() as crew:
        threading.Timer(0.05, release.set).start()
        with pytest.raises(ZeroDivisionError, match="oops"):
            crew.map(work, range(1000))
        assert done[0] == 0
        assert len(done) < 1000
        assert crew.map(abs, [-1, -2]) == [1, 2]
