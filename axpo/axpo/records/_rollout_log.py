"""Defines how rollouts are kept on disk: one JSON object a line, their images beside them as PNG, named by content."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

from axpo.algorithm.types import BranchPoint, Group
from axpo.records import _atomic as atomic
from axpo.records._checked_json import DamagedFileError
from axpo.records._manifest import check_manifest, write_manifest
from axpo.records._marks import marks_of
from axpo.records._rollout_json import Find, SchemaError, decode, encode
from axpo.records.rollout_record import (
    VERSION,
    Cut,
    GrownBranch,
    Origin,
    RolloutRecord,
    without_snapshots,
)
from axpo_agents.types import Rollout
from axpo_envs.images import ImageRef
from axpo_envs.imaging.files import ImageProblemError
from axpo_envs.tool.protocol import Tool

ROLLOUTS_FILE: Final = "rollouts.jsonl"
IMAGES: Final = "images"
_DIGEST: Final = re.compile("[0-9a-f]{32}")


def step_folder(rollouts: Path, step: int) -> Path:
    """Where the rollouts of a step are kept within a run's `rollouts` folder."""
    return rollouts / f"step-{step:06d}"


def saved_steps(rollouts: Path) -> tuple[int, ...]:
    """The steps whose rollouts a run's `rollouts` folder holds, ascending."""
    names = (path.name.removeprefix("step-") for path in rollouts.glob("step-*"))
    return tuple(sorted(int(name) for name in names if name.isdecimal()))


def write_rollouts(
    rollouts: Path, step: int, groups: Sequence[Group], *, limit: int, tools: Sequence[Tool] = ()
) -> None:
    """Saves rollouts of one step; the step's folder appears whole or not at all, and replaces an older one.

    Of more rollouts than `limit`, up to half are branches: sources together with all their continuations, those that
    recovered first. The rest is spread evenly over the groups. It is a sample to look at, not one to count with.

    Args:
        rollouts: the run's `rollouts` folder.
        step: the training step.
        groups: its groups, branches included.
        limit: how many rollouts to save; 0 saves all.
        tools: the environment's, which say how calls are drawn.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    atomic.remove_unfinished(rollouts)
    images: dict[str, ImageRef] = {}

    def keep(image: ImageRef) -> None:
        images[image.digest] = image

    lines = [_line(encode(_saved(pick, step, groups, tools), keep)) for pick in _picked(groups, limit)]
    with atomic.new_folder(step_folder(rollouts, step)) as folder:
        (folder / IMAGES).mkdir()
        for digest, image in images.items():
            (folder / IMAGES / f"{digest}.png").write_bytes(image.to_png())
        (folder / ROLLOUTS_FILE).write_bytes(b"".join(line + b"\n" for line in lines))
        write_manifest(folder)


def read_rollouts(rollouts: Path, step: int) -> tuple[RolloutRecord, ...]:
    """Reads what `write_rollouts` saved: equal rollouts, but for their snapshots.

    Raises:
        FileNotFoundError: nothing was saved for this step.
        DamagedFileError: a file is not what was written, or a line is no saved rollout; the message says which.
    """
    path = step_folder(rollouts, step) / ROLLOUTS_FILE
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no rollouts of step {step} are saved in {rollouts}")
    found = lru_cache(maxsize=None)(partial(read_image, rollouts, step))
    loaded = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            loaded.append(read_line(line, found))
        except SchemaError as error:
            raise DamagedFileError(f"{path}, line {number}: {error}") from error
        except (OSError, ImageProblemError, DamagedFileError) as error:
            # Which of the files was changed, the line or the image, the manifest tells.
            check_manifest(path.parent)
            raise DamagedFileError(f"{path}, line {number}: {error}") from error
    # What is no rollout at all is named by its line; this finds every other change.
    check_manifest(path.parent)
    return tuple(loaded)


def read_line(line: bytes, find: Find) -> RolloutRecord:
    """The rollout of a line of `rollouts.jsonl`.

    Raises:
        SchemaError: it is none; the message names the place. What `find` raises goes through.
    """
    record: RolloutRecord = decode(RolloutRecord, read_object(line), find)
    return record


def read_object(line: bytes) -> dict[str, Any]:
    """What a line of `rollouts.jsonl` says, its fields unchecked.

    Raises:
        SchemaError: it is no JSON object of this version.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"expected JSON; {error}") from error
    version = found.get("version") if isinstance(found, dict) else None
    if version != VERSION:
        raise SchemaError(f"version: expected {VERSION}; got {str(version)[:80]}")
    checked: dict[str, Any] = found
    return checked


def read_image(rollouts: Path, step: int, digest: str, width: int, height: int) -> ImageRef:
    """The pixels of a saved image.

    Raises:
        FileNotFoundError: the image is not among those of the step.
        DamagedFileError: its name is no digest, or the file holds another image.
    """
    path = image_path(rollouts, step, digest)
    found = ImageRef.from_file(path)
    if (found.digest, found.width, found.height) != (digest, width, height):
        raise DamagedFileError(f"{path} is not the image of {width} x {height} pixels that was saved")
    return found


def is_digest(text: str) -> bool:
    """Whether a text can be the digest of an image: nothing else becomes part of a path."""
    return _DIGEST.fullmatch(text) is not None


def image_path(rollouts: Path, step: int, digest: str) -> Path:
    """Where an image is saved.

    Raises:
        DamagedFileError: its name is no digest.
    """
    if not is_digest(digest):
        raise DamagedFileError(f"step {step}: expected the digest of an image; got {digest!r:.80}")
    return step_folder(rollouts, step) / IMAGES / f"{digest}.png"


def _line(record: Any) -> bytes:
    """A line of ASCII: halves of surrogate pairs, which some models' texts hold, come back as they were."""
    return json.dumps(record, separators=(",", ":"), allow_nan=False).encode("ascii")


class _Pick(NamedTuple):
    """Which rollout of a step is meant: the group's, or, if `branch` is not None, that branch's continuation."""

    group: int
    rollout: int
    branch: int | None = None

    def find(self, groups: Sequence[Group]) -> Rollout:
        group = groups[self.group]
        return (group.rollouts if self.branch is None else group.branches[self.branch].continuations)[self.rollout]


def _picked(groups: Sequence[Group], limit: int) -> list[_Pick]:
    families = sorted(
        (family for number, group in enumerate(groups) for family in _families(number, group)),
        key=lambda family: -max((pick.find(groups).reward for pick in family[1:]), default=0.0),
    )
    everything = [*_spread(groups), *chain.from_iterable(families)]
    if limit == 0:
        return list(dict.fromkeys(everything))
    first: dict[_Pick, None] = {}
    for family in families:
        if len(first | dict.fromkeys(family)) <= limit // 2:
            first |= dict.fromkeys(family)
    return list(first | dict.fromkeys(_spread(groups)))[:limit]


def _families(number: int, group: Group) -> Iterator[list[_Pick]]:
    """Each source of a group with its continuations behind it."""
    for place, branch in enumerate(group.branches):
        grown = [_Pick(number, index, place) for index in range(len(branch.continuations))]
        yield [_Pick(number, branch.point.rollout), *grown]


def _spread(groups: Sequence[Group]) -> Iterator[_Pick]:
    """All rollouts, the first of every group before the second of any."""
    for index in range(max((len(group.rollouts) for group in groups), default=0)):
        for number, group in enumerate(groups):
            if index < len(group.rollouts):
                yield _Pick(number, index)


def _saved(pick: _Pick, step: int, groups: Sequence[Group], tools: Sequence[Tool]) -> RolloutRecord:
    group, rollout = groups[pick.group], pick.find(groups)
    origin: Origin | None = None
    grown: tuple[GrownBranch, ...] = ()
    if pick.branch is not None:
        point = group.branches[pick.branch].point
        origin = Origin(rollout=point.rollout, cut=_cut(point))
    else:
        grown = tuple(
            GrownBranch(cut=_cut(branch.point), rewards=tuple(c.reward for c in branch.continuations))
            for branch in group.branches
            if branch.point.rollout == pick.rollout
        )
    return RolloutRecord(
        step=step,
        group=pick.group,
        index=pick.rollout,
        origin=origin,
        branches=grown,
        rollout=without_snapshots(rollout),
        marks=marks_of(rollout, tools),
    )


def _cut(point: BranchPoint) -> Cut:
    return Cut(turn=point.turn, token=point.token, confidence=point.confidence)
