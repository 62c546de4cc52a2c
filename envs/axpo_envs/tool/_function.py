"""Defines `@tool`, which makes a tool of a typed Python function, and `FunctionTool`, what it makes."""

from __future__ import annotations

import importlib
import inspect
import operator
import pickle
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, overload

import cloudpickle

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.tool._docstring import read_docstring
from axpo_envs.tool._function_body import FunctionBody
from axpo_envs.tool._settings import ToolSettings
from axpo_envs.tool._signature import Signature, read_signature
from axpo_envs.tool.protocol import Effects, ToolContext
from axpo_envs.types import Question, ToolResult

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FunctionTool:
    """A typed function as a tool; calling it calls the function. Made by `@tool`."""

    body: FunctionBody
    """The function, and how it is called."""
    signature: Signature
    """What a policy may pass."""
    name: str
    """The name a policy calls it by."""
    description: str
    """What it does, for the policy."""
    effects: Effects
    """What executing it does."""
    initial: Any
    """The initial state, or a function that makes it of the question; None for a tool that keeps no state."""
    timeout_s: float | None
    """Seconds after which a call is stopped; None for no limit."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function as if it were not decorated."""
        return self.body(*args, **kwargs)

    @property
    def function(self) -> Callable[..., Any]:
        """The function."""
        return self.body.function

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        return self.signature.parameters

    @property
    def has_a_name(self) -> bool:
        """Another process that imports its module finds it there."""
        home = self.function.__module__
        return home != "__main__" and _found(home, self.function.__qualname__) is self

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments as the function's types want them; left-out ones stay out, for the function's own defaults.

        Raises:
            ToolArgumentError: one is missing, unknown or of another type (nothing is coerced).
        """
        return self.signature.validate(arguments)

    def initial_state(self, question: Question) -> Any:
        """The state at the start of an episode; None for a function that keeps none."""
        return self.initial(question) if callable(self.initial) else self.initial

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """Calls the function; a coroutine is run to its end.

        Raises:
            ToolError: the function raised it, or one of the declared `errors`.
            TypeError: the function returned what `as_result` does not take, or no new state.
        """
        return self.body.step(arguments, state, context)

    def __deepcopy__(self, memo: dict[int, Any]) -> FunctionTool:
        # It never changes, and Gymnasium copies the keyword arguments that environments are made with.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        home, name = self.function.__module__, self.function.__qualname__
        if self.has_a_name:
            return _find_tool, (home, name)
        # A tool without a name of its own travels as its function, as far as the pickler takes that.
        settings = ToolSettings(
            name=self.name,
            description=self.description,
            effects=self.effects,
            initial_state=self.initial,
            timeout_s=self.timeout_s,
            errors=self.body.errors,
        )
        if _found(home, name) is self:
            # In another process the script that is run there may be another one.
            return _find_or_make, (home, name, cloudpickle.dumps((self.function, settings)))
        return _make, (self.function, settings)


class AsyncFunctionTool(FunctionTool):
    """An async function as a tool; it waits on the event loop that all async tools share."""

    __slots__ = ()

    async def step_async(
        self, arguments: Mapping[str, Any], state: Any, context: ToolContext
    ) -> tuple[ToolResult, Any]:
        """As `step`, for callers on the event loop."""
        return await self.body.step_async(arguments, state, context)


@overload
def tool(function: Callable[..., Any], /) -> FunctionTool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effects: Effects | str | None = None,
    initial_state: Any = None,
    timeout_s: float | None = None,
    errors: tuple[type[Exception], ...] = (),
) -> Callable[[Callable[..., Any]], FunctionTool]: ...
def tool(
    function: Callable[..., Any] | None = None, /, **settings: Any
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    '''Makes a tool of a typed function: `@tool` or `@tool(timeout_s=5.0)`.

    ```python
    @tool
    def area(width: float, height: float) -> float:
        """The area of a rectangle.

        Args:
            width: in metres.
            height: in metres.
        """
        return width * height


    @tool(initial_state=())
    def note(text: str, state: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        """Writes a line into the notebook and shows all of it."""
        state = (*state, text)
        return "\\n".join(state), state
    ```

    The JSON schema comes from the type hints, the descriptions from the docstring. A parameter annotated
    `ToolContext` is hidden from the policy and filled in, and so is the parameter `state` of a tool with an initial
    state, which returns (result, new state). The result may be text, an image (`ImageRef`, Pillow, or uint8 array),
    JSON-able data, a list or tuple holding images, or a `ToolResult`. The function may be async. What it raises:

    | exception | who reads it |
    |---|---|
    | `ToolError` | the policy, as an error result |
    | a type listed in `errors` | the policy, as an error result `TypeName: message` |
    | `InfrastructureFault` | the caller of the environment; the episode is redone or dropped |
    | anything else | the caller of the environment, as the cause of a `ToolFault`: a bug is not the policy's |

    Args:
        function: the function.
        settings: the fields of `ToolSettings`.

    Raises:
        EnvConfigError: at decoration: no description; a parameter without annotation, with a mutable default or of
            a type without JSON schema; `*args` or `**kwargs`; a generator; no function; unusable settings.
    '''
    chosen = _settings_from(settings)

    def make(decorated: Callable[..., Any]) -> FunctionTool:
        return _make(decorated, chosen)

    return make if function is None else make(function)


def _settings_from(given: Mapping[str, Any]) -> ToolSettings:
    known = [field.name for field in fields(ToolSettings)]
    if unknown := sorted(set(given) - set(known)):
        raise EnvConfigError(f"@tool has no setting {unknown[0]!r}; it has {', '.join(known)}")
    return ToolSettings(**given)


def _make(function: Callable[..., Any], settings: ToolSettings) -> FunctionTool:
    if isinstance(function, type) or not callable(function):
        raise EnvConfigError(f"expected a function to make a tool of; got {brief(function)}")
    name = settings.name if settings.name is not None else getattr(function, "__name__", type(function).__name__)
    if not _NAME.fullmatch(name):
        raise EnvConfigError(f"a tool's name is letters, digits, '_', '.' and '-'; got {name!r} (give `name=`)")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise EnvConfigError(f"tool {name!r} is a generator; expected a function that returns its result")
    text, descriptions = read_docstring(function)
    if not (settings.description or text):
        raise EnvConfigError(f"tool {name!r} needs a docstring or a description: it is what the policy goes by")
    signature = read_signature(function, name, descriptions, keeps_state=settings.keeps_state)
    body = FunctionBody(
        function=function,
        errors=settings.errors,
        context_parameter=signature.context_parameter,
        keeps_state=settings.keeps_state,
    )
    kind = AsyncFunctionTool if inspect.iscoroutinefunction(function) else FunctionTool
    return kind(
        body=body,
        signature=signature,
        name=name,
        description=settings.description or text,
        effects=settings.chosen_effects,
        initial=settings.initial_state,
        timeout_s=settings.timeout_s,
    )


def _found(module: str, qualified_name: str) -> Any:
    """What a module of this process has under that name."""
    try:
        return operator.attrgetter(qualified_name)(sys.modules[module])
    except (AttributeError, KeyError):
        return None


def _find_or_make(module: str, qualified_name: str, data: bytes) -> FunctionTool:
    """The tool of that name, or, where there is none, one of the function that travelled along."""
    found = _found(module, qualified_name)
    if isinstance(found, FunctionTool):
        return found
    function, settings = pickle.loads(data)
    return _make(function, settings)


def _find_tool(module: str, qualified_name: str) -> FunctionTool:
    """Where a pickled tool points to: the decorated function of that name."""
    found: Any = operator.attrgetter(qualified_name)(importlib.import_module(module))
    if not isinstance(found, FunctionTool):
        raise TypeError(f"expected {module}.{qualified_name} to be decorated with @tool; got {found!r}")
    return found
