"""Defines the families of questions that Agentic mixes, one line each, and what a `Family` brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.named_object import load_named

_SUITE: Final = "axpo_envs.suite"
SHARED: Final = ("split", "held_out", "max_turns", "view_size", "python")
"""Knobs that the mixture sets for its families, so that users do not."""
_EVERYWHERE: Final = ("split", "held_out", "max_turns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Questions of one environment of the suite: its source, its reward, its scripted agents."""

    home: str
    """The package in `axpo_envs.suite` that holds all of it."""
    env: str
    """The environment's class. It takes the knobs `split`, `held_out` and `max_turns`; its source is a function of them
    and of the family's own knobs."""
    expert: str
    """The class of an agent that solves the questions by the paper's tools, or `module:class` where it stands
    elsewhere; it is made of the environment."""
    floor: str = "RandomFloor"
    """The class of an agent that answers at random; it is made of the environment."""
    also: tuple[str, ...] = ()
    """Further knobs of `SHARED` that the environment takes: `view_size`, `python`."""
    scale: float = 0.0
    """How many times as large as the view its images are, by the knob `image_size`; 0 where it has none."""
    smallest: int = 1
    """The least `image_size` that its environment takes."""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    """What its knobs are here, where that is not their default."""

    def load(self, name: str) -> Any:
        """One of its classes."""
        return load_named(name if ":" in name else f"{_SUITE}.{self.home}:{name}", "families")

    def make(self, shared: Mapping[str, Any], own: Mapping[str, Any]) -> ToolEnv:
        """Its environment.

        Args:
            shared: the values of `SHARED`.
            own: the user's knobs.

        Raises:
            EnvConfigError: a knob is unknown or unusable, or one that the mixture sets.
            MissingExtraError: a package of an extra is not installed.
        """
        for name in SHARED:
            if name in own:
                raise EnvConfigError(f"family_knobs: {name} is the mixture's own: expected it beside family_knobs")
        given = {name: shared[name] for name in (*_EVERYWHERE, *self.also)}
        sized = {"image_size": max(self.smallest, round(self.scale * shared["view_size"]))} if self.scale else {}
        env = self.load(self.env)(**given, **{**sized, **self.knobs, **own})
        assert isinstance(env, ToolEnv)
        return env


_HOPS: Final[dict[str, Any]] = {"hops": (2, 3)}
_MEASURER: Final = f"{_SUITE}.agentic._python_measuring:PythonMeasurer"

_SCENES: Final[dict[str, Any]] = {"also": ("view_size",), "scale": 12, "smallest": 1344}
_FIGURES: Final[dict[str, Any]] = {"also": ("python",), "scale": 1, "smallest": 320}
_SIGNS: Final[dict[str, Any]] = {"also": ("view_size",), "scale": 3, "smallest": 64, "knobs": {"guess_rate": 0.1}}

FAMILIES: Final[dict[str, Family]] = {
    "multi_hop_search": Family(home="multi_hop_search", env="MultiHopSearch", expert="HopExpert", knobs=_HOPS),
    "perception_qa": Family(home="perception_qa", env="PerceptionQA", expert=_MEASURER, **_SCENES),
    "python_reasoning": Family(home="python_reasoning", env="PythonReasoning", expert="ReasoningExpert", **_FIGURES),
    "visual_zoom": Family(home="visual_zoom", env="VisualZoom", expert="ZoomExpert", **_SIGNS),
}
"""Every family by its name."""
