"""Missing packages: the error names the extra that brings them, and the extras bring what is imported."""

import importlib
import importlib.metadata
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from axpo_envs import EnvConfigError
from axpo_envs.plumbing.extras import EXTRAS, MissingExtraError, require_extra, requiring

PYPROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))


def declared(extra: str) -> set[str]:
    """The distributions of an extra, those of extras within it included."""
    found = set()
    for requirement in map(Requirement, PYPROJECT["project"]["optional-dependencies"][extra]):
        if requirement.name == "axpo":
            found |= {name for inner in requirement.extras for name in declared(inner)}
        else:
            found.add(canonicalize_name(requirement.name))
    return found


NOT_LOCKED = {"openenv", "skyrl", "inspect-ai", "verl", "verifiers", "ray", "eight-bit"}
"""Extras that cannot be installed beside the lock, which `axpo-bench adapters` installs elsewhere; Ray, whose 240 MB no
test needs; and torchao, which other packages of the lock import, slowly and with warnings, wherever it is installed."""
INSTALLED = [extra for extra in EXTRAS if extra not in NOT_LOCKED]


def test_what_is_not_installed_here_is_declared_all_the_same() -> None:
    assert set(EXTRAS) >= NOT_LOCKED
    for extra in NOT_LOCKED:
        assert declared(extra)
        with pytest.raises(MissingExtraError, match=rf"axpo\[{extra}\]"):
            require_extra(extra, "this")


@pytest.mark.parametrize("extra", INSTALLED)
def test_an_extra_brings_what_it_is_said_to_bring(extra: str) -> None:
    owners = importlib.metadata.packages_distributions()
    for package in EXTRAS[extra]:
        assert {canonicalize_name(owner) for owner in owners[package]} & declared(extra), package


@pytest.mark.parametrize("extra", INSTALLED)
def test_what_is_missing_is_an_import_error_that_names_the_extra(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    require_extra(extra, "this")
    package = EXTRAS[extra][0]
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"^this needs {package}: pip install 'axpo\[{extra}\]'$"
    with pytest.raises(ImportError, match=message):
        require_extra(extra, "this")
    with pytest.raises(EnvConfigError, match=message) as caught, requiring(extra, "this"):
        importlib.import_module(package)
    assert isinstance(caught.value, MissingExtraError)
    assert caught.value.name == package


def test_the_outer_of_two_blocks_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with (
        pytest.raises(MissingExtraError, match=r"outside needs torch: pip install 'axpo\[lora\]'"),
        requiring("lora", "outside"),
        requiring("train", "inside"),
    ):
        importlib.import_module("torch")


def test_other_errors_of_imports_go_through() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module") as caught, requiring("train", "this"):
        importlib.import_module("no_such_module")
    assert type(caught.value) is ModuleNotFoundError
