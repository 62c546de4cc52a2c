"""Defines how every subcommand reads its arguments, and how it writes measured values to a JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tyro

from axpo.records import _atomic as atomic
from axpo.settings.config import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

A = TypeVar("A", bound="DataclassInstance")


def parse(kind: type[A], command: str, arguments: Sequence[str], *, default: A | None = None) -> A:
    """Reads arguments into a dataclass; exits with code 2 where that fails, and with 0 after `--help`."""
    return tyro.cli(
        kind,
        prog=f"axpo {command}",
        args=list(arguments),
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.EnumChoicesFromValues,),
    )


def parse_action(actions: Mapping[str, type[Any]], command: str, arguments: Sequence[str]) -> Any:
    """Reads the arguments of a command that has actions, such as `verify`; exits as `parse` does.

    Args:
        actions: the dataclass of each action's arguments.
        command: the command.
        arguments: the action's name, and its arguments.
    """
    name = arguments[0] if arguments else "--help"
    if name in actions:
        return parse(actions[name], f"{command} {name}", arguments[1:])
    listed = "\n".join(f"  {action}  {(kind.__doc__ or '').partition('.')[0]}." for action, kind in actions.items())
    if name in ("-h", "--help"):
        print(
            f"usage: axpo {command} ACTION [OPTIONS]\n\n{listed}\n\n`axpo {command} ACTION --help` lists the options."
        )
        raise SystemExit(0)
    raise ConfigError(f"{command}: expected one of {', '.join(actions)}; got {name!r}")


def path_option(arguments: Sequence[str], name: str) -> Path | None:
    """The path given as an option on which the defaults of all others depend, so that it is read before them."""
    kind = make_dataclass("_Option", [(name, Path | None, field(default=None))], frozen=True)
    found: Any
    found, _ = tyro.cli(kind, args=list(arguments), return_unknown_args=True, add_help=False)
    path: Path | None = getattr(found, name)
    return path


def check_output(path: Path | None, option: str = "json") -> None:
    """Makes sure, before any work, that the file of an option can be written once the work is done.

    Raises:
        ConfigError: the path is a folder, or lies within a file or a folder that cannot be written.
    """
    if path is None:
        return
    if path.is_dir():
        raise ConfigError(f"{option}: expected a file; {path} is a folder")
    there = next(parent for parent in path.absolute().parents if parent.exists())
    if not there.is_dir():
        raise ConfigError(f"{option}: cannot write {path}: {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{option}: cannot write {path}: {there} is not writable")


def write_json(path: Path | None, record: Mapping[str, Any]) -> None:
    """Writes what a command measured, if a file was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, json.dumps(record, indent=2) + "\n")
