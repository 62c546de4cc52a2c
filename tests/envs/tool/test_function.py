import asyncio
import copy
import functools
import importlib
import pickle
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic
import pytest

from axpo_envs import EnvConfigError, InfrastructureFault, Question
from axpo_envs.tools import AsyncTool, Effects, Tool, ToolArgumentError, ToolContext, ToolError, ToolResult, tool

QUESTION = Question(id="q", prompt=("?",), answer="")
CONTEXT = ToolContext(question=QUESTION, images=(), seed=3)


class Unit(StrEnum):
    METRE = "m"
    FOOT = "ft"


class Point(pydantic.BaseModel):
    x: float
    title: str = ""


@tool
def area(width: float, height: float, unit: Unit = Unit.METRE) -> str:
    """The area of a rectangle.

    Not of any other shape.

    Args:
        width: how wide
            it is.
        height (float): how high.

    Returns:
        The area with its unit.
    """
    return f"{width * height:g} {unit}²"


def run(made: Tool, **arguments: Any) -> ToolResult:
    result, state = made.step(made.validate(arguments), None, CONTEXT)
    assert state is None
    return result


def test_a_typed_function_becomes_a_tool() -> None:
    assert isinstance(area, Tool)
    assert (area.name, area.effects, area.timeout_s) == ("area", Effects.PURE, None)
    assert area.description == "The area of a rectangle.\n\nNot of any other shape."
    assert area.parameters == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "width": {"type": "number", "description": "how wide it is."},
            "height": {"type": "number", "description": "how high."},
            "unit": {"$ref": "#/$defs/Unit", "default": "m"},
        },
        "required": ["width", "height"],
        "$defs": {"Unit": {"type": "string", "enum": ["m", "ft"]}},
    }


def test_a_tool_is_still_the_function() -> None:
    assert area(2, height=3) == "6 m²"


def test_left_out_arguments_take_the_functions_defaults() -> None:
    assert area.validate({"width": 2, "height": 3}) == {"width": 2.0, "height": 3.0}
    assert run(area, width=2, height=3).content == ("6 m²",)
    assert run(area, width=2, height=3, unit="ft").content == ("6 ft²",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 2}, "height is missing"),
        ({"width": 2, "height": "3"}, 'height: input should be a valid number, got "3"'),
        ({"width": True, "height": 3}, "width: input should be a valid number, got true"),
        ({"width": 2, "height": 3, "depth": 4}, "depth is no argument (the arguments are: width, height, unit)"),
        ({"width": 2, "height": 3, "unit": "mm"}, "unit: input should be 'm' or 'ft', got \"mm\""),
        ({"width": "x" * 500, "height": 3}, "x..."),
        ({}, "width is missing; height is missing"),
        ({"width": "a", "height": "b", "unit": "c", "depth": 1}, "; and 1 more"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_in_words(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolArgumentError) as caught:
        area.validate(arguments)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_annotations_of_any_json_kind_are_validated_strictly() -> None:
    @tool
    def locate(
        box: tuple[int, int, int, int],
        point: Point,
        mode: Literal["in", "out"],
        count: Annotated[int, pydantic.Field(ge=1, description="how many")],
        schema: list[str] | None = None,
    ) -> str:
        """Locates."""
        return f"{box} {point.x} {mode} {count} {schema}"

    good = {"box": [1, 2, 3, 4], "point": {"x": 1}, "mode": "in", "count": 1, "schema": ["a"]}
    assert run(locate, **good).content == ("(1, 2, 3, 4) 1.0 in 1 ['a']",)
    assert locate.parameters["properties"]["count"] == {"type": "integer", "minimum": 1, "description": "how many"}
    assert locate.parameters["$defs"]["Point"]["properties"]["title"] == {"type": "string", "default": ""}
    for name, wrong in (("box", [1, 2, 3]), ("box", [1, 2, 3, 4.5]), ("point", {}), ("mode", "up"), ("count", 0)):
        with pytest.raises(ToolArgumentError, match=name):
            locate.validate({**good, name: wrong})


def test_the_context_is_filled_in_and_hidden() -> None:
    @tool
    def seed(context: ToolContext, plus: int = 0) -> int:
        """The call's seed."""
        return context.seed + plus

    assert list(seed.parameters["properties"]) == ["plus"]
    assert run(seed, plus=1).content == ("4",)
    with pytest.raises(ToolArgumentError, match="context is no argument"):
        seed.validate({"context": {}})


@tool(initial_state=(), errors=(KeyError,))
def note(text: str, state: tuple[str, ...], context: ToolContext) -> tuple[str, tuple[str, ...]]:
    """Writes a line."""
    if text == "lost":
        raise KeyError(text)
    return f"{len(state)} {context.seed}", (*state, text)


def test_a_function_with_an_initial_state_takes_the_state_and_returns_the_new_one() -> None:
    assert (note.effects, note.initial_state(QUESTION)) == (Effects.STATEFUL, ())
    assert list(note.parameters["properties"]) == ["text"]
    result, state = note.step(note.validate({"text": "a"}), ("b",), CONTEXT)
    assert (result.content, state) == (("1 3",), ("b", "a"))
    with pytest.raises(ToolArgumentError, match="state is no argument"):
        note.validate({"text": "a", "state": []})
    with pytest.raises(ToolError, match="lost"):
        note.step({"text": "lost"}, (), CONTEXT)


def test_an_initial_state_may_be_made_of_the_question() -> None:
    @tool(initial_state=lambda question: (question.id,), effects="external")
    def log(state: tuple[str, ...]) -> tuple[None, tuple[str, ...]]:
        """Logs."""
        return None, state

    assert (log.effects, log.initial_state(QUESTION)) == (Effects.EXTERNAL, ("q",))


def test_without_an_initial_state_a_parameter_named_state_is_an_argument() -> None:
    @tool
    def capital(state: str) -> str:
        """The capital."""
        return state

    assert run(capital, state="Ohio").content == ("Ohio",)


@pytest.mark.parametrize("returned", ["text", (1, 2, 3), ["a", ()]])
def test_a_stateful_function_without_a_new_state_is_told_what_to_return(returned: Any) -> None:
    @tool(initial_state=())
    def forget(state: tuple[str, ...]) -> Any:
        """Forgets."""
        return returned

    with pytest.raises(TypeError, match=r"returns a tuple \(result, new state\)"):
        forget.step({}, (), CONTEXT)


def test_an_async_function_may_keep_a_state() -> None:
    @tool(initial_state=0)
    async def count(by: int, state: int) -> tuple[int, int]:
        """Counts."""
        await asyncio.sleep(0)
        return state + by, state + by

    assert isinstance(count, AsyncTool)
    assert count.step({"by": 2}, 1, CONTEXT) == (ToolResult(content=("3",)), 3)
    assert not isinstance(note, AsyncTool)


def test_settings_of_the_decorator_are_kept() -> None:
    @tool(name="look-up", description="Looks.", effects=Effects.EXTERNAL, timeout_s=2.5, errors=(KeyError,))
    def search(key: str) -> str:
        return {"a": "b"}[key]

    assert (search.name, search.description) == ("look-up", "Looks.")
    assert (search.effects, search.timeout_s) == (Effects.EXTERNAL, 2.5)
    with pytest.raises(ToolError, match="KeyError: 'c'"):
        run(search, key="c")


@pytest.mark.parametrize("error", [ToolError("no"), InfrastructureFault("down"), ZeroDivisionError("oops")])
def test_exceptions_that_are_not_declared_pass_unchanged(error: Exception) -> None:
    @tool(errors=(ValueError,))
    def fail() -> str:
        """Fails."""
        raise error

    with pytest.raises(type(error)) as caught:
        run(fail)
    assert caught.value is error


def test_declaring_every_exception_hides_no_infrastructure_fault() -> None:
    @tool(errors=(Exception,))
    def fail() -> str:
        """Fails."""
        raise InfrastructureFault("down")

    with pytest.raises(InfrastructureFault):
        run(fail)


def undocumented(a: int) -> int:
    return a


def unannotated(a) -> int:  # type: ignore[no-untyped-def]
    """Has no annotation."""
    return 0


def variadic(*values: int) -> int:
    """Takes any number."""
    return sum(values)


def keywords(**values: int) -> int:
    """Takes any name."""
    return sum(values.values())


def opaque(a: "NoSuchType") -> int:  # type: ignore[name-defined]  # noqa: F821
    """Names a type that does not exist."""
    return 0


def callback(a: Callable[[], int]) -> int:
    """Takes what JSON cannot say."""
    return a()


def foreign(a: ToolResult | np.ndarray) -> int:
    """Takes a type without schema."""
    return 0


def remembering(a: list[int] = []) -> int:  # noqa: B006
    """Remembers."""
    a.append(1)
    return len(a)


def generator(a: int) -> Any:
    """Yields."""
    yield a


class Scale:
    """Scales by a factor."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def times(self, n: int) -> int:
        """Multiplies."""
        return n * self.factor

    def __call__(self, n: int, context: ToolContext | None = None) -> int:
        return n * self.factor + (0 if context is None else context.seed)


@pytest.mark.parametrize(
    ("function", "result"),
    [(Scale(3).times, "6"), (Scale(3), "9"), (functools.partial(Scale(3)), "9")],
    ids=["method", "object", "partial"],
)
def test_methods_and_callable_objects_are_tools_and_a_context_may_be_optional(
    function: Callable[..., Any], result: str
) -> None:
    made = tool(name="scale", description="Scales.")(function)
    assert made.parameters["properties"] == {"n": {"type": "integer"}}
    assert run(made, n=2).content == (result,)


@pytest.mark.parametrize("timeout_s", [None, 60.0])
def test_a_function_that_exits_ends_nothing_and_is_named(timeout_s: float | None) -> None:
    @tool(timeout_s=timeout_s)
    def leave() -> str:
        """Leaves."""
        sys.exit(4)

    @tool
    async def leave_later() -> str:
        """Leaves while others wait on the loop."""
        sys.exit(5)

    with pytest.raises(RuntimeError, match=r"it called sys.exit\(4\)"):
        run(leave)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"it called sys.exit\(5\)"):
            run(leave_later)


@pytest.mark.parametrize(
    ("function", "settings", "message"),
    [
        (undocumented, {}, "docstring"),
        (unannotated, {}, "'a' needs a type annotation"),
        (variadic, {}, "plain parameter"),
        (keywords, {}, "plain parameter"),
        (opaque, {}, "cannot resolve"),
        (
            callback,
            {},
            "'callback', parameter 'a': expected a type that JSON can hold .*; got .*Callable",
        ),
        (foreign, {}, "'foreign', parameter 'a': expected a type that JSON can hold .*; got .*ndarray"),
        (remembering, {}, "mutable"),
        (generator, {}, "generator"),
        (lambda: 1, {"description": "x"}, "name"),
        (area.function, {"name": "two words"}, "name"),
        (area.function, {"effects": Effects.STATEFUL}, "keeps a state if and only if"),
        (area.function, {"effects": "pure", "initial_state": 0}, "keeps a state if and only if"),
        (area.function, {"effects": "evil"}, "one of pure, stateful, external; got 'evil'"),
        (area.function, {"initial_state": 0}, "tool 'area' keeps a state and needs a parameter 'state'"),
        (area.function, {"initial_state": {"a": 1}}, "initial_state: it is a dict, which is mutable"),
        (area.function, {"initial_state": Point}, "got <class .*Point'>"),
        (area.function, {"timeout_s": 0.0}, "timeout_s > 0"),
        (area.function, {"errors": ValueError}, "tuple of exception types"),
        (area.function, {"timeout": 1.0}, "no setting 'timeout'; it has name, .*, timeout_s, errors"),
        (Point, {}, "expected a function to make a tool of; got <class .*Point'>"),
        ("area", {}, "expected a function to make a tool of; got 'area'"),
        (Scale.times, {}, "'self' needs a type annotation.*make a tool of a bound one"),
    ],
)
def test_unusable_functions_are_refused_at_decoration(
    function: Callable[..., Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(EnvConfigError, match=message):
        tool(**settings)(function)


def test_a_default_without_json_form_stays_out_of_the_schema() -> None:
    marker = object()

    @tool
    def take(a: int = marker) -> str:  # type: ignore[assignment]
        """Takes."""
        return str(a is marker)

    assert take.parameters["properties"] == {"a": {"type": "integer"}}
    assert "required" not in take.parameters
    assert run(take).content == ("True",)


def test_parameters_may_have_any_name() -> None:
    @tool
    def odd(model_config: int, json: int, schema: int, _private: int) -> int:
        """Adds."""
        return model_config + json + schema + _private

    assert run(odd, model_config=1, json=2, schema=3, _private=4).content == ("10",)


def test_a_deep_copy_is_the_tool_itself() -> None:
    @tool
    def local() -> str:
        """Lives within a function."""
        return ""

    assert copy.deepcopy({"tools": [local]})["tools"][0] is local


def test_a_pickled_tool_is_the_tool_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        'from axpo_envs.tools import tool\n\n@tool\ndef echo(text: str) -> str:\n    """Echoes."""\n    return text\n'
    )
    (tmp_path / "echoing_tools.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    echo = importlib.import_module("echoing_tools").echo
    assert pickle.loads(pickle.dumps(echo)) is echo


@pytest.mark.parametrize("pattern", ["^(?=a)", "["])
def test_a_pattern_that_cannot_be_checked_is_told_at_decoration(pattern: str) -> None:
    def find(text: Annotated[str, pydantic.Field(pattern=pattern)]) -> str:
        """Finds."""
        return text

    with pytest.raises(EnvConfigError, match="tool 'find', parameter 'text': its constraints cannot be checked"):
        tool(find)
