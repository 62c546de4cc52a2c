"""The training methods, one a module, registered in a line each; users register theirs the same way.

A method of a package of one's own is named `package.module:NAME`, in `axpo train --method` and in `axpo compare`.
"""

from __future__ import annotations

import re
from typing import Final

from axpo.algorithm.methods._combination import combined_method
from axpo.algorithm.methods.arpo import ARPO
from axpo.algorithm.methods.axpo import ABLATIONS, AXPO
from axpo.algorithm.methods.axpo_contrast import AXPO_CONTRAST
from axpo.algorithm.methods.axpo_either import AXPO_EITHER
from axpo.algorithm.methods.axpo_forced import AXPO_FORCED
from axpo.algorithm.methods.axpo_graded import AXPO_GRADED
from axpo.algorithm.methods.axpo_idle import AXPO_IDLE
from axpo.algorithm.methods.axpo_plus import AXPO_PLUS
from axpo.algorithm.methods.axpo_replay import AXPO_REPLAY
from axpo.algorithm.methods.axpo_strata import AXPO_STRATA
from axpo.algorithm.methods.axpo_value import AXPO_VALUE
from axpo.algorithm.methods.cispo import CISPO
from axpo.algorithm.methods.dapo import DAPO
from axpo.algorithm.methods.dr_grpo import DR_GRPO
from axpo.algorithm.methods.grpo import GRPO, grpo_of
from axpo.algorithm.methods.gspo import GSPO
from axpo.algorithm.methods.method import Method, Rounds
from axpo.algorithm.methods.pixel_reasoner import PIXEL_REASONER
from axpo.algorithm.methods.rltf import RLTF
from axpo.algorithm.methods.tool_bonus import TOOL_BONUS
from axpo.algorithm.methods.tool_penalty import TOOL_PENALTY
from axpo.settings.config import ConfigError, TrainConfig
from axpo.settings.config_file import checked
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.named_object import load_named

__all__ = [
    "AXPO",
    "GRPO",
    "Method",
    "Rounds",
    "colour_of",
    "combined_method",
    "configured",
    "label_of",
    "method_named",
    "method_names",
    "register_method",
    "selects",
]

_METHODS: Final[dict[str, Method]] = {}
_SIZED: Final = re.compile(r"grpo_n([1-9]\d*)")
_COMBINED: Final[dict[str, Method]] = {}


def register_method(method: Method) -> None:
    """Makes a method known by its name.

    Raises:
        ConfigError: another method has that name, or the name cannot be that of a folder.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", method.name):
        raise ConfigError(f"method: expected a name of lower-case letters, digits and underscores; got {method.name!r}")
    if _METHODS.setdefault(method.name, method) is not method:
        raise ConfigError(f"method: there is another one of the name {method.name!r}")


def method_names() -> tuple[str, ...]:
    """The names of the registered methods."""
    return tuple(_METHODS)


def method_named(name: str) -> Method:
    """The method of a name: a registered one, `grpo_n<N>` for GRPO with N rollouts per question, `module:NAME`, or
    several of these with `+` between them (`axpo_forced+strata`; behind the first, `axpo_` may be left out).

    Raises:
        ConfigError: there is no such method, or those of the name cannot be one (see `combined_method`).
    """
    if "+" in name:
        return _COMBINED.setdefault(name, _several(name))
    if name in _METHODS:
        return _METHODS[name]
    if (sized := _SIZED.fullmatch(name)) is not None:
        return grpo_of(int(sized.group(1)))
    if ":" in name:
        return _imported(name)
    known = ", ".join(_METHODS)
    raise ConfigError(
        f"method: expected one of {known}, grpo_n10 (any number), package.module:NAME, or several as in "
        f"axpo_forced+strata; got {name!r}"
    )


def configured(config: TrainConfig) -> TrainConfig:
    """The configuration as its method makes it, held to the same ranges as what users set.

    Raises:
        ConfigError: there is no such method, or a value that it sets lies outside its range.
    """
    return checked(method_named(config.method).configure(config), source=f"method {config.method}")


def label_of(name: str) -> str:
    """What people read for a method's name; the name itself where there is no such method here."""
    try:
        return method_named(name).label
    except ConfigError:
        return name


def colour_of(name: str) -> str | None:
    """The role of a method's colour in charts; None where it has none of its own."""
    try:
        return method_named(name).colour
    except ConfigError:
        return None


def selects(name: str) -> bool:
    """Whether a method resamples prefixes; False where there is no such method here."""
    try:
        method = method_named(name)
    except ConfigError:
        return False
    return method.recovers or method.select is not None


def _several(name: str) -> Method:
    first, *further = name.split("+")
    names = [first, *(f"axpo_{part}" if f"axpo_{part}" in _METHODS else part for part in further)]
    if len(set(names)) < len(names):
        raise ConfigError(f"method: expected each method once; got {name!r}")
    methods = [method_named(each) for each in names]
    label = " + ".join((methods[0].label, *(method.label.removeprefix("AXPO, ") for method in methods[1:])))
    return combined_method(name, label, methods)


def _imported(name: str) -> Method:
    try:
        found = load_named(name, "method")
    except EnvConfigError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(found, Method):
        raise ConfigError(f"method: expected {name} to be a Method; got {type(found).__name__}")
    return found


_RIVALS: Final = (TOOL_PENALTY, TOOL_BONUS, PIXEL_REASONER, CISPO, ARPO, RLTF, DAPO, GSPO, DR_GRPO)
_CANDIDATES: Final = (
    AXPO_STRATA,
    AXPO_CONTRAST,
    AXPO_FORCED,
    AXPO_IDLE,
    AXPO_REPLAY,
    AXPO_GRADED,
    AXPO_VALUE,
    AXPO_EITHER,
)
for _method in (GRPO, AXPO, AXPO_PLUS, *ABLATIONS, *_RIVALS, *_CANDIDATES):
    register_method(_method)
