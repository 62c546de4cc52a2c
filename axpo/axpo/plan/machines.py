"""Defines `Machine`, what a device can do, from a table of data sheets or from a file of the same form."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import torch
from pydantic import Field, TypeAdapter, ValidationError

from axpo.run.validation import check_device
from axpo.settings.config import ConfigError
from axpo.settings.values import Positive

HERE: Final = "here"
"""Stands for the machine that the plan is made on."""
_TABLE: Final = Path(__file__).with_name("machines.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a device can do at most, and what share of it is taken to be reached."""

    name: str
    """What it is asked for by."""
    device: str
    """The device, in words."""
    source: str
    """Where the numbers come from."""
    memory_gb: Positive
    """Memory of one device, in 10^9 bytes as makers count."""
    tflops: Positive | None = None
    """Peak of bfloat16 products without sparsity, 10^12 operations per second; None where it is not known, and time
    with it, unless it was measured."""
    bandwidth_gbs: Positive = 100.0
    """Peak of reading memory, 10^9 bytes per second."""
    link_gbs: Positive = 10.0
    """Between devices of one node, in one direction, 10^9 bytes per second."""
    network_gbs: Positive = 1.0
    """Between nodes, for each device, in one direction, 10^9 bytes per second."""
    devices_per_node: Annotated[int, Field(ge=1)] = 8
    """Devices that `link_gbs` joins."""
    training_share: Annotated[float, Field(gt=0, le=1)] = 0.35
    """Share of the peak that training passes reach; assumed."""
    reading_share: Annotated[float, Field(gt=0, le=1)] = 0.45
    """Share of the peak that passes without gradient, and the reading of prompts, reach; assumed."""
    bandwidth_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of the bandwidth that is reached while tokens are sampled; assumed."""
    link_share: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of the links that collectives reach; assumed."""
    hidden_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the collectives' time that is hidden behind computation; assumed."""
    launch_us: Positive = 250.0
    """Microseconds of host work for one decoder layer and one token, where this package samples; assumed. A server that
    replays recorded graphs is taken to have none."""
    memory_share: Annotated[float, Field(gt=0, le=1)] = 0.92
    """Share of the memory that tensors can have: the rest is the driver's, and lost between blocks; assumed."""

    @property
    def usable_bytes(self) -> int:
        """Bytes that tensors can have."""
        return int(self.memory_gb * 1e9 * self.memory_share)

    @property
    def assumptions(self) -> dict[str, float]:
        """What is assumed of it, by name."""
        return {name: getattr(self, name) for name in _ASSUMED}


_ASSUMED: Final = (
    *("training_share", "reading_share", "bandwidth_share", "link_share", "hidden_share", "memory_share"),
    "launch_us",
)


def machine_named(name: str) -> Machine:
    """A machine of the table by its name, or the only one of a file.

    Raises:
        ConfigError: there is none, or its description is unusable.
    """
    path = Path(name).expanduser()
    if path.suffix == ".toml":
        found = _read(path)
        if len(found) != 1:
            raise ConfigError(f"machine: expected one section, which describes a device, in {path}; got {len(found)}")
        return next(iter(found.values()))
    table = _read(_TABLE)
    near = [known for known in table if known == name or known.partition("-")[0] == name]
    if not near:
        raise ConfigError(f"machine: expected {HERE}, one of {', '.join(table)}, or a .toml file; got {name!r}")
    return table[near[0]]


def machine_here(device: str) -> Machine:
    """The machine that this runs on: a CUDA device with what its data sheet says if the table has it, or the CPU.

    Raises:
        ConfigError: there is no such device.
    """
    check_device(device)
    if not device.startswith("cuda"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
        return Machine(name=HERE, device=f"the CPU of this machine ({device})", source="not known", memory_gb=memory)
    found = torch.cuda.get_device_properties(torch.device(device))
    memory = found.total_memory / 1e9
    words = set(found.name.replace("-", " ").split())
    for known in _read(_TABLE).values():
        chip = known.device.removeprefix("NVIDIA GeForce ").removeprefix("NVIDIA ").split()[0]
        if chip in words or (chip == "RTX" and "4090" in words):
            return replace(known, name=HERE, device=found.name, memory_gb=memory)
    return Machine(name=HERE, device=found.name, source="not known", memory_gb=memory)


def _read(path: Path) -> dict[str, Machine]:
    try:
        content: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"machine: {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"machine: {path}: expected a TOML file; {error}") from error
    return {name: _machine(path, name, section) for name, section in content.items()}


def _machine(path: Path, name: str, section: Any) -> Machine:
    if not isinstance(section, Mapping):
        raise ConfigError(f"machine: {path}: expected sections, one for each device; got a value {name!r}")
    known = set(Machine.__dataclass_fields__) - {"name"}
    if unknown := sorted(set(section) - known):
        raise ConfigError(f"machine: {path}: {name}.{unknown[0]}: unknown setting")
    try:
        return TypeAdapter(Machine).validate_python({"name": name, **section})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([name, *map(str, first["loc"])])
        raise ConfigError(f"machine: {path}: {where}: {first['msg']}; got {first['input']!r}") from error
