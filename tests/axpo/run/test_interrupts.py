from __future__ import annotations

import signal
import threading

import pytest

from axpo.run._interrupts import Interrupted, Interrupts


def ring(number: int = signal.SIGINT) -> None:
    signal.raise_signal(number)


def stretch(interrupts: Interrupts, rings: int, events: list[str]) -> None:
    """Is interrupted so many times before it finishes."""
    with interrupts.deferred():
        for _ in range(rings):
            ring()
        events.append("finished")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_raises_at_once_and_handlers_come_back(number):
    former = signal.getsignal(number)
    interrupts = Interrupts(pytest.fail)
    with pytest.raises(Interrupted), interrupts.watched():
        ring(number)
    assert signal.getsignal(number) is former


def test_a_hang_up_that_is_to_be_ignored_is_ignored():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts(pytest.fail).watched():
            ring(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, former)


def test_a_signal_is_held_back_until_the_stretch_has_ended():
    events: list[str] = []
    interrupts = Interrupts(lambda: events.append("told"))
    with pytest.raises(Interrupted), interrupts.watched():
        stretch(interrupts, 1, events)
    assert events == ["told", "finished"]


def test_a_second_signal_in_the_stretch_raises_at_once():
    events: list[str] = []
    interrupts = Interrupts(lambda: events.append("told"))
    with pytest.raises(Interrupted), interrupts.watched():
        stretch(interrupts, 2, events)
    assert events == ["told"]


def test_after_an_interrupt_another_stretch_can_be_finished():
    events: list[str] = []
    interrupts = Interrupts(lambda: None)
    with interrupts.watched():
        for _ in range(2):
            with pytest.raises(Interrupted):
                stretch(interrupts, 1, events)
    assert events == ["finished", "finished"]


def test_an_error_in_the_stretch_comes_first():
    def fail() -> None:
        with interrupts.deferred():
            ring()
            raise OSError("disk full")

    interrupts = Interrupts(lambda: None)
    with pytest.raises(OSError, match="disk full"), interrupts.watched():
        fail()


def test_other_threads_watch_nothing():
    former = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with Interrupts(pytest.fail).watched():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [former]
