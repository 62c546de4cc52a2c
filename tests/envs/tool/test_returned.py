import asyncio
import dataclasses
from typing import Any

import numpy as np
import pydantic
import pytest
from PIL import Image

from axpo_envs import ImageRef, Question
from axpo_envs.tools import Tool, ToolContext, ToolResult, ToolStatus, tool

CONTEXT = ToolContext(question=Question(id="q", prompt=("?",), answer=""), images=(), seed=3)


class Point(pydantic.BaseModel):
    x: float
    title: str = ""


def run(made: Tool, **arguments: Any) -> ToolResult:
    return made.step(made.validate(arguments), None, CONTEXT)[0]


def test_an_async_function_is_awaited_with_and_without_a_running_loop() -> None:
    @tool
    async def double(n: int) -> int:
        """Doubles."""
        await asyncio.sleep(0)
        return 2 * n

    async def within_a_loop() -> ToolResult:
        return run(double, n=4)

    assert run(double, n=2).content == ("4",)
    assert asyncio.run(within_a_loop()).content == ("8",)


@dataclasses.dataclass
class Place:
    name: str
    at: tuple[int, int]


PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("text", ("text",)),
        (3, ("3",)),
        (True, ("true",)),
        (None, ("null",)),
        (np.float64(0.5), ("0.5",)),
        (np.bool_(True), ("true",)),
        ({"größe": [1, None]}, ('{"größe": [1, null]}',)),
        ({"mean": np.float32(0.5), "of": [np.int64(3)]}, ('{"mean": 0.5, "of": [3]}',)),
        ("half \ud800", ("half \ufffd",)),
        ({"text": "half \udfff"}, ('{"text": "half \ufffd"}',)),
        ({"half \ud800": [{"\udfff": 1}], 2: (3,)}, ('{"half \ufffd": [{"\ufffd": 1}], "2": [3]}',)),
        ([1, "a"], ('[1, "a"]',)),
        ((1, 2), ("[1, 2]",)),
        (Place("here", (1, 2)), ('{"name": "here", "at": [1, 2]}',)),
        (Point(x=1), ('{"x": 1.0, "title": ""}',)),
        (ImageRef(PIXELS), (ImageRef(PIXELS),)),
        (PIXELS, (ImageRef(PIXELS),)),
        (Image.fromarray(PIXELS), (ImageRef(PIXELS),)),
        (PIXELS[..., 0], (ImageRef(np.repeat(PIXELS[..., :1], 3, axis=2)),)),
        (np.dstack([PIXELS, np.full_like(PIXELS[..., :1], 255)]), (ImageRef(PIXELS),)),
        (np.dstack([PIXELS, np.zeros_like(PIXELS[..., :1])]), (ImageRef(np.full_like(PIXELS, 255)),)),
        (["crop", PIXELS, {"x": 1}], ("crop", ImageRef(PIXELS), '{"x": 1}')),
        (ToolResult(status=ToolStatus.ERROR, content=("no",)), ("no",)),
    ],
)
def test_return_values_become_what_the_policy_reads(value: Any, content: tuple[Any, ...]) -> None:
    @tool
    def give() -> Any:
        """Gives."""
        return value

    assert run(give).content == content


def test_a_returned_array_stays_writable() -> None:
    pixels = PIXELS.copy()

    @tool
    def give() -> Any:
        """Gives."""
        return pixels

    (image,) = run(give).content
    pixels[:] = 0
    assert image == ImageRef(PIXELS.copy())


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (object(), "got object: object has no JSON form$"),
        (np.zeros((2, 2)), r"got ndarray of float64 \(2, 2\)"),
        (np.zeros((2, 2, 3)), r"got ndarray of float64 \(2, 2, 3\)"),
        (np.zeros((2, 2, 2), np.uint8), r"got ndarray of uint8 \(2, 2, 2\)"),
        ([PIXELS, object()], "got object"),
        ({"crop": Image.fromarray(PIXELS)}, "got dict: Image has no JSON form; return images in a list"),
        ([["crop", PIXELS]], r"got list: ndarray of uint8 \(2, 2, 3\) has no JSON form; .*array.tolist\(\)"),
        (b"\xff", "got bytes: .*codec"),
        (CIRCLE, "got list: Circular reference"),
    ],
)
def test_a_return_value_of_another_kind_is_the_tools_fault(value: Any, got: str) -> None:
    @tool
    def give() -> Any:
        """Gives."""
        return value

    with pytest.raises(TypeError, match=got):
        run(give)
