"""Defines how rollouts are kept on disk: one JSON object a line, their images beside them as PNG, named by content."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import TypeAdapter, ValidationError

from axpo.algorithm.types import BranchPoint, Group
from axpo.records import _atomic as atomic
from axpo.records._checked_json import DamagedFileError
from axpo.records._manifest import check_manifest, write_manifest
from axpo.records._rollout_records import (
    Kind,
    SavedBranch,
    SavedCall,
    SavedCut,
    SavedImage,
    SavedOrigin,
    SavedParts,
    SavedQuestion,
    SavedRollout,
    SavedTurn,
)
from axpo_agents.types import Rollout
from axpo_envs.images import ImageRef
from axpo_envs.parsing import parse_turn
from axpo_envs.turn_format.tags import CALL_OPEN
from axpo_envs.types import CallRecord, Parts, Question, Turn

ROLLOUTS_FILE: Final = "rollouts.jsonl"
IMAGES: Final = "images"
_DIGEST: Final = re.compile("[0-9a-f]{32}")
_LINE: Final = TypeAdapter(SavedRollout)


def step_folder(rollouts: Path, step: int) -> Path:
    """Where the rollouts of a step are kept within a run's `rollouts` folder."""
    return rollouts / f"step-{step:06d}"


def saved_steps(rollouts: Path) -> tuple[int, ...]:
    """The steps whose rollouts a run's `rollouts` folder holds, ascending."""
    names = (path.name.removeprefix("step-") for path in rollouts.glob("step-*"))
    return tuple(sorted(int(name) for name in names if name.isdecimal()))


def write_rollouts(rollouts: Path, step: int, groups: Sequence[Group], *, limit: int) -> None:
    """Saves rollouts of one step; the step's folder appears whole or not at all, and replaces an older one.

    Of more rollouts than `limit`, up to half are branches: sources together with all their continuations, those that
    recovered first. The rest is spread evenly over the groups. It is a sample to look at, not one to count with.

    Args:
        rollouts: the run's `rollouts` folder.
        step: the training step.
        groups: its groups, branches included.
        limit: how many rollouts to save; 0 saves all.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    atomic.remove_unfinished(rollouts)
    images: dict[str, ImageRef] = {}
    lines = [_LINE.dump_json(_saved(pick, step, groups, images)) for pick in _picked(groups, limit)]
    with atomic.new_folder(step_folder(rollouts, step)) as folder:
        (folder / IMAGES).mkdir()
        for digest, image in images.items():
            (folder / IMAGES / f"{digest}.png").write_bytes(image.to_png())
        (folder / ROLLOUTS_FILE).write_bytes(b"".join(line + b"\n" for line in lines))
        write_manifest(folder)


def read_rollouts(rollouts: Path, step: int) -> tuple[SavedRollout, ...]:
    """Reads what `write_rollouts` saved.

    Raises:
        FileNotFoundError: nothing was saved for this step.
        DamagedFileError: a file is not what was written, or a line is no saved rollout; the message says which.
    """
    path = step_folder(rollouts, step) / ROLLOUTS_FILE
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no rollouts of step {step} are saved in {rollouts}")
    loaded = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            loaded.append(_LINE.validate_json(line))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise DamagedFileError(f"{path}, line {number}: {where}: {problem['msg']}") from error
    # What is no rollout at all is named by its line; this finds every other change.
    check_manifest(path.parent)
    return tuple(loaded)


def read_image(rollouts: Path, step: int, image: SavedImage) -> ImageRef:
    """The pixels of a saved image.

    Raises:
        FileNotFoundError: the image is not among those of the step.
        DamagedFileError: its name is no digest, or the file holds another image.
    """
    if not _DIGEST.fullmatch(image.digest):
        raise DamagedFileError(f"step {step}: expected the digest of an image; got {image.digest!r:.80}")
    path = step_folder(rollouts, step) / IMAGES / f"{image.digest}.png"
    found = ImageRef.from_file(path)
    if (found.digest, found.width, found.height) != (image.digest, image.width, image.height):
        raise DamagedFileError(f"{path} is not the image of {image.width} x {image.height} pixels that was saved")
    return found


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


def _saved(pick: _Pick, step: int, groups: Sequence[Group], images: dict[str, ImageRef]) -> SavedRollout:
    group, rollout = groups[pick.group], pick.find(groups)
    completions, episode = rollout.completions, rollout.episode
    origin: SavedOrigin | None = None
    grown: tuple[SavedBranch, ...] = ()
    if pick.branch is not None:
        point = group.branches[pick.branch].point
        origin = SavedOrigin(rollout=point.rollout, cut=_cut(point, group.rollouts[point.rollout]))
    else:
        grown = tuple(
            SavedBranch(cut=_cut(branch.point, rollout), rewards=tuple(c.reward for c in branch.continuations))
            for branch in group.branches
            if branch.point.rollout == pick.rollout
        )
    tokens = [(len(c.ids), c.forced) for c in completions] or [(0, 0)] * len(episode.turns)
    return SavedRollout(
        step=step,
        group=pick.group,
        index=pick.rollout,
        kind=Kind.ROLLOUT if pick.branch is None else Kind.CONTINUATION,
        origin=origin,
        branches=grown,
        question=_question(episode.question, completions[0].context.images if completions else (), images),
        turns=tuple(_turn(turn, *count, images) for turn, count in zip(episode.turns, tokens, strict=True)),
        stop=episode.stop,
        reward=episode.reward,
        terms=episode.terms,
        sampled_tokens=sum(len(c.ids) for c in completions),
        context_tokens=sum(len(c.context.ids) for c in completions),
    )


def _question(question: Question, shown: Sequence[ImageRef], images: dict[str, ImageRef]) -> SavedQuestion:
    return SavedQuestion(
        id=question.id,
        prompt=_parts(question.prompt, images),
        shown=tuple(_image(image, images) for image in shown),
        answer=question.answer,
        hops=question.hops,
        labels=tuple(sorted(question.labels)),
    )


def _turn(turn: Turn, sampled: int, forced: int, images: dict[str, ImageRef]) -> SavedTurn:
    return SavedTurn(
        text=_unicode(turn.text),
        answer=None if turn.answer is None else _unicode(turn.answer),
        calls=tuple(_call(record, images) for record in turn.calls),
        observation=_parts(turn.observation, images),
        sampled_tokens=sampled,
        forced_tokens=forced,
    )


def _call(record: CallRecord, images: dict[str, ImageRef]) -> SavedCall:
    return SavedCall(
        name=_unicode(record.call.name),
        arguments=_unicode(record.call.arguments),
        outcome=record.outcome,
        status=record.result.status,
        content=_parts(record.result.content, images),
        seconds=record.result.seconds,
    )


def _parts(parts: Parts, images: dict[str, ImageRef]) -> SavedParts:
    return tuple(_unicode(part) if isinstance(part, str) else _image(part, images) for part in parts)


def _unicode(text: str) -> str:
    """The same text with every half of a surrogate pair, which no file can hold, as a question mark."""
    return text.encode(errors="replace").decode()


def _image(image: ImageRef, images: dict[str, ImageRef]) -> SavedImage:
    images[image.digest] = image
    return SavedImage(digest=image.digest, width=image.width, height=image.height)


def _cut(point: BranchPoint, source: Rollout) -> SavedCut:
    characters = _frozen_characters(source.episode.turns[point.turn].text, point.token)
    return SavedCut(turn=point.turn, token=point.token, characters=characters, confidence=point.confidence)


def _frozen_characters(text: str, tokens: int) -> int:
    """Characters of a turn's text that its frozen tokens are: up to the end of the first call's opening tag; in a turn
    without a call, its thinking."""
    if tokens == 0:
        return 0
    turn = parse_turn(text)
    if turn.calls:
        return turn.calls[0].span.start + len(CALL_OPEN)
    return turn.thinking_spans[-1].stop if turn.thinking_spans else 0
