"""Defines how tools, calls and answers are written for another process of the same machine."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import threading
from collections import ChainMap
from collections.abc import Callable
from types import CodeType
from typing import Any, ClassVar, Final

import cloudpickle

from axpo_envs.images import ImageRef
from axpo_envs.tool._function import AsyncFunctionTool, FunctionTool


def pack(value: Any) -> bytes:
    """Any picklable value; closures and what `__main__` defines by value."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def unpack(data: bytes) -> Any:
    """What `pack` wrote."""
    return pickle.loads(data)


class ToolParcel:
    """A tool on its way to the workers, which need no more of it than its `step`.

    Args:
        name: the tool's name.
        tool: what has the `step`.
        home: name of the module that defines it.

    Raises:
        Exception: it cannot be pickled; whatever its parts raise.
    """

    def __init__(self, *, name: str, tool: Any, home: str) -> None:
        self.name: Final = name
        self._tool = tool
        self._home = home
        self._by_value = False
        self._lock = threading.Lock()
        self.payload = pack(tool)
        self.key: Final = hashlib.blake2b(self.payload, digest_size=16).digest()

    def send_code(self, *, instead_of: bytes) -> bool:
        """Sends the module's functions and classes themselves from now on, in calls and states, too.

        Args:
            instead_of: the payload that a worker could not read.

        Returns:
            Whether there is now another payload to try.
        """
        with self._lock:
            if self.payload is instead_of and not self._by_value and self._home in sys.modules:
                self._by_value = True
                cloudpickle.register_pickle_by_value(sys.modules[self._home])
                self.payload = pack(self._tool)
            return self.payload is not instead_of


def _reduce_image(image: ImageRef) -> tuple[Any, ...]:
    # Raw pixels: PNG takes seconds for large images.
    return ImageRef, (image.pixels,)


def _reduce_tool(tool: FunctionTool) -> Any:
    """By name where it has one, else as its body: all that is needed to call it."""
    if tool.has_a_name and tool.function.__module__ not in cloudpickle.list_registry_pickle_by_value():
        return tool.__reduce__()
    return _itself, (tool.body,)


def _reduce_code(code: CodeType) -> tuple[Any, ...]:
    """With the name of its file, which some releases of cloudpickle leave out: it is where a tool's own error is."""
    make, arguments = cloudpickle.Pickler.dispatch_table[CodeType](code)
    return _in_file, (code.co_filename, make, arguments)


def _in_file(name: str, make: Callable[..., CodeType], arguments: tuple[Any, ...]) -> CodeType:
    return make(*arguments).replace(co_filename=name)


def _itself(value: Any) -> Any:
    return value


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no type hints
    # The base class reads the table from its class.
    dispatch_table: ClassVar = ChainMap(
        {
            ImageRef: _reduce_image,
            FunctionTool: _reduce_tool,
            AsyncFunctionTool: _reduce_tool,
            CodeType: _reduce_code,
        },
        cloudpickle.Pickler.dispatch_table,
    )
