"""Defines how the warden has an interpreter execute a cell within its limits, and how it judges the end."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox._frames import Bounds, Frame, FrameError
from axpo_envs.backends.python_sandbox._lines import Line
from axpo_envs.backends.python_sandbox._output import Output
from axpo_envs.backends.python_sandbox._pictures import fits
from axpo_envs.backends.python_sandbox._supervision import processor_seconds
from axpo_envs.backends.python_sandbox._ward import Ward
from axpo_envs.backends.python_sandbox.limits import SandboxLimits
from axpo_envs.backends.python_sandbox.protocol import Status

_CHECK_EVERY_S: Final = 0.1
_REPORT: Final = 64
"""Bytes of a report without figures, and more."""
_FIGURE: Final = 32
"""Those of a figure's size."""
_FAREWELL_S: Final = 1.0
"""Between the end of an interpreter's link and its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How the execution of a cell ended."""

    status: Status
    """DONE, TIMEOUT or DIED."""
    note: str = ""
    """Why the interpreter was given up."""
    succeeded: bool = False
    """The cell raised nothing."""
    figures: tuple[tuple[int, int], ...] = ()
    """Width and height of its figures in pixels."""
    pixels: bytes = b""
    """Their pixels, RGB."""


async def execute(
    ward: Ward, cell: Frame, output: Output, limits: SandboxLimits, *, patience: float, deadline: float
) -> Verdict:
    """Has an interpreter execute a cell.

    Args:
        ward: the interpreter, running and waiting for it.
        cell: what it is sent.
        output: reads what it writes.
        limits: how much it may use.
        patience: multiplies the limit on processor time.
        deadline: when to stop it, by the loop's clock.
    """
    conversation = asyncio.ensure_future(_converse(ward, cell, limits))
    watch = asyncio.ensure_future(_watch(ward, limits, patience))
    ends: set[asyncio.Future[Any]] = {conversation, watch, ward.ended, output.flooded}
    left = deadline - asyncio.get_running_loop().time()
    try:
        await asyncio.wait(ends, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        if conversation.done():
            return await _judge(ward, conversation)
        if ward.ended.done():
            return Verdict(status=Status.DIED, note=_describe_end(ward))
        if output.flooded.done():
            return Verdict(status=Status.DIED, note="it wrote without end")
        if watch.done():
            return watch.result()
        return overtime(limits)
    finally:
        for task in (conversation, watch):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


def overtime(limits: SandboxLimits) -> Verdict:
    """The verdict on a cell that, with all that belongs to it, took too long."""
    return Verdict(status=Status.TIMEOUT, note=f"it ran for {limits.wall_s:g} s, which is the limit")


async def _converse(ward: Ward, cell: Frame, limits: SandboxLimits) -> Frame:
    await asyncio.get_running_loop().sock_sendall(ward.link, frames.pack(cell.header, cell.body))
    bounds = Bounds(_REPORT + _FIGURE * limits.figures, 3 * limits.figure_pixels * limits.figures)
    return await frames.receive_async(ward.link, bounds, body_of=lambda header: body_of(header, limits))


def body_of(header: frames.Header, limits: SandboxLimits) -> int:
    """How many bytes the figures of a report take, which may be forged."""
    sizes = header.get("figures")
    if not isinstance(sizes, list) or len(sizes) > limits.figures or not isinstance(header.get("succeeded"), bool):
        raise FrameError("its report makes no sense")
    for size in sizes:
        if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int for side in size):
            raise FrameError("its report makes no sense")
        width, height = size
        if not fits(width, height, limits.figure_pixels):
            raise FrameError(f"it reports a figure of {str(size)[:50]} pixels")
    return sum(3 * width * height for width, height in sizes)


async def _judge(ward: Ward, conversation: asyncio.Future[Frame]) -> Verdict:
    """What the interpreter's report, which may be forged, amounts to."""
    try:
        frame = conversation.result()
    except FrameError:
        return Verdict(status=Status.DIED, note="its report makes no sense")
    except (OSError, EOFError):
        await asyncio.wait({ward.ended}, timeout=_FAREWELL_S)
        return Verdict(status=Status.DIED, note=_describe_end(ward))
    sizes = tuple((width, height) for width, height in frame.header["figures"])
    return Verdict(status=Status.DONE, succeeded=frame.header["succeeded"], figures=sizes, pixels=frame.body)


async def _watch(ward: Ward, limits: SandboxLimits, patience: float) -> Verdict:
    """Returns when a limit is passed that no kernel mechanism enforces."""
    while True:
        await asyncio.sleep(_CHECK_EVERY_S)
        seconds = processor_seconds(ward.process, with_group=limits.processes > 0)
        if seconds > limits.cpu_s * patience:
            note = f"it took {limits.cpu_s:g} s of processor time, which is the limit"
            return Verdict(status=Status.TIMEOUT, note=note)
        if isinstance(ward.place, Line):
            for excess in ward.place.excess(limits.scratch_mb << 20):
                if excess:
                    return Verdict(status=Status.DIED, note=excess)
                await asyncio.sleep(0)


def _describe_end(ward: Ward) -> str:
    if not ward.ended.done():
        return "it closed its connection"
    end = ward.ended.result()
    if end is None:
        return "it ended"
    if end.si_code == os.CLD_EXITED:
        return f"it exited with code {end.si_status}"
    with suppress(ValueError):
        return f"it was killed by {signal.Signals(end.si_status).name}"
    return f"it was killed by signal {end.si_status}"
