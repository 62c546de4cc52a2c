"""Defines `Family`, a rollout as a page shows it: the prefix that was frozen, and what was sampled behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from axpo.records._rollout_log import read_line
from axpo.records.rollout_record import Cut, RolloutRecord
from axpo.report._pictures import Album, Drawing, Picture
from axpo.report._rollout_view import Reply, RolloutView, pieces_of, view_rollout
from axpo.viewer._advantages import Credit, advantages_of
from axpo.viewer._runs import Run
from axpo.viewer._saved_image import SavedImage
from axpo.viewer._step_index import Entry, GroupIndex, read_place
from axpo.viewer._tokens import Stretch, Token, Tokens, bare_tokens, stretches


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedAlbum(Album):
    """A run's saved rollouts, whose images a page asks for one by one."""

    link: str
    """What comes before an image's digest in its address."""

    def picture(self, drawing: Drawing) -> Picture:
        """The image by its address, and its regions in its own pixels."""
        image = drawing.image
        return Picture(
            source=f"{self.link}{image.digest}", width=image.width, height=image.height, boxes=drawing.boxes(1.0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadedTurn:
    """One turn, or the part of it that is shown at a place."""

    number: int
    """Of the episode's turns, from 1 on."""
    stretches: tuple[Stretch, ...]
    """Its text, token by token where their texts are known."""
    strip: tuple[Token, ...]
    """Its tokens where they have no place in its text."""
    replies: tuple[Reply, ...]
    """What came of its calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A rollout, or what was sampled of it behind a frozen prefix."""

    entry: Entry
    """Where it stands, and how it went."""
    title: str
    """What people read."""
    view: RolloutView
    """Its question, images and verdict."""
    terms: tuple[tuple[str, float], ...]
    """The named parts of its reward."""
    turns: tuple[ShadedTurn, ...]
    """What is shown of it."""
    credit: Credit | None
    """Its advantage, where that is known."""
    tokens: int
    """How many tokens were sampled, frozen ones included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A rollout alone, or a source with what grew from it."""

    columns: tuple[Column, ...]
    """The source first."""
    prefix: tuple[ShadedTurn, ...] = ()
    """What they share, frozen; empty for a rollout alone, and where nothing was frozen."""
    cut: Cut | None = None
    """Where the source was cut; None for a rollout alone."""
    unsaved: int = 0
    """How many of its continuations are not saved."""
    context: str | None = None
    """The prompt as the policy read it; None where the tokens' texts are not known."""
    spelled: bool = True
    """The tokens' texts are known."""
    prompt: tuple[str | Picture, ...] = ()
    """The question's parts in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What it takes to show a group of a step."""

    run: Run
    """The run."""
    step: int
    """The step."""
    album: LinkedAlbum
    """Where its images are."""
    tokens: Tokens
    """The texts of its tokens."""

    def record(self, entry: Entry) -> RolloutRecord:
        """A rollout with everything but pixels.

        Raises:
            OSError, SchemaError, DamagedFileError: it cannot be read any more.
        """
        return read_line(read_place(self.run.rollouts, self.step, entry.place), SavedImage)

    def family(self, group: GroupIndex, line: int) -> Family:
        """The rollout of a line; of a source or a continuation the source with all that grew from it there.

        Raises:
            OSError, SchemaError, DamagedFileError: the file is another by now.
            StopIteration: the group has no such line.
        """
        chosen = next(entry for entry in group.entries if entry.place.line == line)
        records = [self.record(entry) for entry in group.entries]
        credits = advantages_of(self.run, records)
        by_line = {
            entry.place.line: _Member(entry=entry, record=record, credit=credits.get(number))
            for number, (entry, record) in enumerate(zip(group.entries, records, strict=True))
        }
        members, cut, unsaved = _members(chosen, group)
        found = [by_line[entry.place.line] for entry in members]
        return self._shown(found, cut, unsaved)

    def _shown(self, members: Sequence[_Member], cut: Cut | None, unsaved: int) -> Family:
        first = members[0].record
        frozen = _frozen_texts(first, cut)
        columns = [self._column(member, cut, frozen) for member in members]
        context = self.tokens.text(first.completions[0].context.ids) if first.completions else None
        return Family(
            columns=tuple(replace(column, turns=_behind(column.turns, cut)) for column in columns),
            prefix=_frozen(columns[0].turns, cut),
            cut=cut,
            unsaved=unsaved,
            context=context,
            spelled=not any(turn.strip for column in columns for turn in column.turns),
            prompt=tuple(
                part if isinstance(part, str) else self.album.picture(Drawing(part)) for part in first.question.prompt
            ),
        )

    def _column(self, member: _Member, cut: Cut | None, frozen: Sequence[str]) -> Column:
        record, entry = member.record, member.entry
        view = view_rollout(record, self.album)
        turns = tuple(
            self._turn(number, turn.replies, record, frozen[number] if number < len(frozen) else "")
            for number, turn in enumerate(view.turns)
        )
        if entry.origin is not None:
            title = f"Continuation {entry.index + 1}"
        else:
            title = f"Source: rollout {entry.index + 1}" if cut is not None else f"Rollout {entry.index + 1}"
        return Column(
            entry=entry,
            title=title,
            view=view,
            terms=tuple((term.name, term.value) for term in record.rollout.episode.terms),
            turns=turns,
            credit=member.credit,
            tokens=sum(len(completion.ids) for completion in record.completions),
        )

    def _turn(self, number: int, replies: tuple[Reply, ...], record: RolloutRecord, frozen: str) -> ShadedTurn:
        text = record.turns[number].text
        pieces = pieces_of(text, len(frozen) if text.startswith(frozen) else 0)
        completion = record.completions[number] if number < len(record.completions) else None
        tokens = None if completion is None else self.tokens.of(completion, text)
        bare = bare_tokens(completion) if completion is not None and tokens is None else ()
        return ShadedTurn(number=number + 1, stretches=stretches(pieces, tokens or ()), strip=bare, replies=replies)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    entry: Entry
    record: RolloutRecord
    credit: Credit | None


def _members(chosen: Entry, group: GroupIndex) -> tuple[list[Entry], Cut | None, int]:
    """The rollouts to be shown beside the chosen one, where they part, and how many more there were."""
    if chosen.origin is not None:
        source = next((entry for entry in group.rollouts if entry.index == chosen.origin.rollout), None)
        cut: Cut | None = chosen.origin.cut
    else:
        source, cut = chosen, chosen.branches[0].cut if chosen.branches else None
    if cut is None:
        return [chosen], None, 0
    number = chosen.origin.rollout if chosen.origin is not None else chosen.index
    grown = [each for each in group.continuations.get(number, ()) if each.origin is not None and each.origin.cut == cut]
    sampled = sum(len(branch.rewards) for branch in source.branches if branch.cut == cut) if source else len(grown)
    return [*([source] if source else []), *grown], cut, max(sampled - len(grown), 0)


def _frozen_texts(source: RolloutRecord, cut: Cut | None) -> tuple[str, ...]:
    """What of each turn is frozen. It is told by the source: continuations may begin with tokens added behind it."""
    if cut is None:
        return ()
    whole = tuple(turn.text for turn in source.turns[: cut.turn])
    last = tuple(turn.text[: cut.characters(turn.text)] for turn in source.turns[cut.turn : cut.turn + 1])
    return whole + last


def _frozen(turns: Sequence[ShadedTurn], cut: Cut | None) -> tuple[ShadedTurn, ...]:
    """What of a source's turns is frozen."""
    if cut is None:
        return ()
    parts = []
    for turn in turns[: cut.turn + 1]:
        kept = tuple(each for each in turn.stretches if each.frozen)
        if kept:
            whole = turn.number <= cut.turn
            strip = turn.strip if whole else turn.strip[: cut.token]
            parts.append(replace(turn, stretches=kept, strip=strip, replies=turn.replies if whole else ()))
    return tuple(parts)


def _behind(turns: Sequence[ShadedTurn], cut: Cut | None) -> tuple[ShadedTurn, ...]:
    """What of a rollout's turns is not frozen."""
    if cut is None:
        return tuple(turns)
    parts = []
    for turn in turns[cut.turn :]:
        first = turn.number == cut.turn + 1
        kept = tuple(each for each in turn.stretches if not each.frozen)
        parts.append(replace(turn, stretches=kept, strip=turn.strip[cut.token :] if first else turn.strip))
    return tuple(parts)
