"""Defines `paper_tools`, the tools of AXPO's paper (arXiv:2605.28774): Python, a search, and zooming into images."""

from __future__ import annotations

from typing import Final

from axpo_envs.backends.search._search_setting import SearchSetting
from axpo_envs.backends.search._types import SearchBackend
from axpo_envs.imaging.coordinates import Coords
from axpo_envs.tool.protocol import Tool
from axpo_envs.tools.image_zoom_in import ImageZoomIn
from axpo_envs.tools.search import Search

PAPER_SET: Final = "paper"
"""The name by which settings ask for the tools."""

IMAGE_CAPTION: Final = "[image {index}: img_idx={index}, _pil_images[{index}]]"
"""What stands before every image that a tool returns, see `ToolEnvSpec.image_caption`."""

IMAGE_NUMBERS: Final = (
    "Images are numbered from 0: first those of the question, then every image that a tool shows. Number i is img_idx "
    "i of image_zoom_in, and _pil_images[i] (Pillow) and _images[i] (the path of its file) in Python."
)
"""What a policy is told of the numbers."""

PAPER_SEARCH: Final = SearchSetting(exclude_domains=("huggingface.co",))
"""How a setting that says what is searched is read: of the web, nothing from where benchmarks are published."""

_CALL_S: Final = 12.0
_CROP_SIZE: Final = 1024
_HITS: Final = 5
_EXTRACT_CHARS: Final = 1000


PAPER_NAMES: Final = ("search", "image_zoom_in")
"""Names of the tools of `paper_tools` beside its interpreter, which may have any."""


def paper_tools(
    search: SearchBackend,
    *,
    view_size: int | None = None,
    coords: Coords | str = Coords.REL1000,
    python: Tool | None = None,
) -> tuple[Tool, ...]:
    """`python` (12 s a call), `search` (5 hits) and `image_zoom_in`, which know every image by the same number.

    The images are those of the episode's state, which every call is given: there is nothing else that a branch, or
    another process, could have otherwise.

    Args:
        search: what is searched.
        view_size: the environment's view size; where it is None, crops are 1024 pixels wide.
        coords: convention of the boxes of `image_zoom_in`.
        python: another interpreter tool, such as a `PythonTool` with limits of its own.

    Raises:
        EnvConfigError: no sandbox can be set up here, the backend cannot be used, or a setting is out of range.
    """
    return (
        python if python is not None else paper_python(),
        Search(search, top_k=_HITS, extract_chars=_EXTRACT_CHARS),
        ImageZoomIn(view_size=_CROP_SIZE if view_size is None else None, coords=coords),
    )


def paper_python() -> Tool:
    """The tool `python` as the paper has it: 12 s a call.

    Raises:
        EnvConfigError: no sandbox can be set up here.
    """
    # Not every system has what a sandbox is made of.
    from axpo_envs.backends.python_sandbox.limits import SandboxLimits
    from axpo_envs.tools.python import PythonTool

    return PythonTool(SandboxLimits(wall_s=_CALL_S, cpu_s=_CALL_S))
