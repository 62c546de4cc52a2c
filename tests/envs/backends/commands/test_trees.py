"""Trees of files are data: they are built of mappings and folders, share what did not change, and refuse bad paths."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo_envs.backends.commands._build import build_tree
from axpo_envs.backends.commands.limits import CommandLimits
from axpo_envs.backends.commands.trees import EntryKind, FileTree, TreeEntry, tree_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.data_format import read_data, write_data

LIMITS = CommandLimits()


def test_folders_are_there_with_their_files() -> None:
    tree = build_tree({"a/b/c.txt": "x", "a-b": b"\xff", "run": "#!/bin/sh"}, LIMITS)
    assert list(tree) == ["a", "a-b", "a/b", "a/b/c.txt", "run"]
    assert [entry.path for entry in tree.beneath("")] == ["a", "a-b", "run"]
    assert [entry.path for entry in tree.beneath("a/b")] == ["a/b/c.txt"]
    assert tree.read("a-b") == b"\xff"
    assert tree.size == 11
    found = tree.find("run")
    assert found is not None
    assert found.mode == 0o755


def test_a_changed_tree_shares_the_rest() -> None:
    before = build_tree({"a": "x" * 100, "b": "y"}, LIMITS)
    after = before.with_file("b", b"z").with_file("n/new", b"")
    assert after.read("a") is before.read("a")
    assert before.read("b") == b"y"
    assert after.changes_from(before) == ("b: changed", "n/new: created")
    assert before.changes_from(after) == ("b: changed", "n/new: removed")
    assert [entry.changed for entry in after.entries] == [0, 1, 0, 2]


def test_digests_tell_trees_apart() -> None:
    trees = [build_tree(given, LIMITS) for given in ({}, {"a": ""}, {"a": "b"}, {"ab": ""}, {"a": "#!"}, {"a/b": ""})]
    assert len({tree.digest for tree in trees}) == len(trees)


def test_a_folder_on_disk(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "f").write_bytes(b"\x00")
    (tmp_path / "s" / "f").chmod(0o700)
    (tmp_path / "l").symlink_to("/etc/passwd")
    tree = build_tree(tmp_path, LIMITS)
    assert tree.read("s/f") == b"\x00"
    assert tree.find("l") == TreeEntry(path="l", kind=EntryKind.LINK, data=b"/etc/passwd", mode=0o777)
    with pytest.raises(KeyError, match="there is no file 'l'"):
        tree.read("l")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"/a": ""}, "must lead from the top folder down"),
        ({"a/../b": ""}, "must lead from the top folder down"),
        ({"": ""}, "must lead from the top folder down"),
        ({"a\x00": ""}, "no path can hold"),
        ({"a" * 300: ""}, "is too long"),
        ({1: ""}, "expected paths as text"),
        ({"a": 1}, "a: expected text or bytes; got 1"),
        ({"a": "", "a/b": ""}, "a/b is in a, which is no folder"),
        (["a"], "expected a mapping from paths"),
        (Path("nowhere"), "nowhere is no folder"),
        ({"a": "", "b": "", "c": ""}, "expected at most 2 files, folders and links; got 3"),
        ({"a": bytes((1 << 20) + 1)}, "expected at most 1 MB"),
    ],
)
def test_problems_are_named(files: Any, problem: str) -> None:
    with pytest.raises(EnvConfigError, match=problem):
        build_tree(files, CommandLimits(files=2, folder_mb=1))


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"files": 1.5}, {"processes": True}])
def test_limits_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(EnvConfigError, match=f"CommandLimits.{next(iter(wrong))}"):
        CommandLimits(**wrong)


NAMES = st.text(alphabet="ab.-é", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))


@settings(max_examples=50)
@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=4), max_size=6))
def test_trees_travel(files: dict[str, bytes]) -> None:
    kept = {path: data for path, data in files.items() if not any(path.startswith(f"{other}/") for other in files)}
    kept = {path: data for path, data in kept.items() if not any(other.startswith(f"{path}/") for other in kept)}
    tree = build_tree(kept, LIMITS)
    assert {path: tree.read(path) for path in kept} == kept
    assert read_data(write_data(tree)) == pickle.loads(pickle.dumps(tree)) == tree
    assert tree_of(reversed(tree.entries)) == tree
    assert isinstance(tree, FileTree)
