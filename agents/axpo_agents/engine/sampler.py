"""Defines `Sampler`: turns drawn after many prefixes at once, keys and values shared between them and over calls.

Every distinct prefix is read once, and its row copied for each turn that starts there. Then all turns advance token by
token; when half of them have ended, the others move to a smaller cache, and the larger one stays behind as the memory
of those that ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from axpo_agents.engine._kv_cache import Pick, PrefixMemory, SlotCache, gather, planted
from axpo_agents.engine._prefixes import PrefixReader, Target
from axpo_agents.engine._truncation import lowest_kept, truncated
from axpo_agents.engine.network import Network
from axpo_agents.engine.random_numbers import random_numbers
from axpo_agents.errors import NonFiniteRowError
from axpo_agents.policy import Prefix, Sampled
from axpo_agents.types import WHOLE, FinishReason, Sampling, Truncation

TRUNK_TOKENS: Final = 4096
"""Turns after a prefix share its keys and values without copies where turns x tokens reach this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turns:
    """The turns of one batch and what they have written; every tensor is indexed by turn first."""

    members: list[int]
    """Which of the prefixes given each continues."""
    targets: list[Target]
    """What each starts from."""
    limits: torch.Tensor
    """How many tokens each may write, at least 1."""
    uniforms: torch.Tensor
    """The random number behind each token, float64 in [0, 1), shape (turns, steps)."""
    ids: torch.Tensor
    """Written tokens, shape (turns, steps)."""
    logprobs: torch.Tensor
    """Their log-probabilities, shape (turns, steps)."""
    lengths: torch.Tensor
    """How many tokens each has written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Front:
    """The rows that are advancing."""

    cache: SlotCache
    """Keys and values."""
    before: npt.NDArray[np.bool_]
    """Which slots were a row's own when the front began to write, shape (rows, slots)."""
    turns: torch.Tensor
    """The turn of each row."""
    positions: torch.Tensor
    """Rotary position of the first token of each row's turn."""
    visible: torch.Tensor | None
    """Slots that each row sees, shape (rows, slots to come included); None if a row sees all."""
    begun: int
    """Tokens of the turns that were read before."""

    def close(self, fed: npt.NDArray[np.int64]) -> SlotCache:
        """The cache, each row's own slots entered up to the given number of tokens of its turn."""
        written = self.cache.slots - self.before.shape[1]
        self.cache.owned = np.concatenate([self.before, self.begun + np.arange(written) < fed[:, None]], axis=1)
        return self.cache


class Sampler:
    """Draws turns.

    Args:
        network: the model.
        stop_ids: tokens that end a turn.
        cache_bytes: memory for keys and values: half for the rows of a batch at their full length, half for remembered
            ones; while rows are copied it can be twice as much. More turns than fit are drawn in several batches,
            forgotten rows are read again; neither changes a result beyond rounding.
    """

    def __init__(self, network: Network, stop_ids: Sequence[int], cache_bytes: int) -> None:
        self.network = network
        self.memory = PrefixMemory(cache_bytes // 2)
        self._reader = PrefixReader(network, self.memory)
        self._batch_bytes = cache_bytes // 2
        self._stops = torch.tensor(list(stop_ids), dtype=torch.long, device=network.device)

    @torch.no_grad()
    def sample(self, prefixes: Sequence[Prefix], sampling: Sampling, seed: int) -> list[Sampled]:
        """One turn after each prefix; see `Sampler.sample`.

        Token t of a turn is a function of the distribution and of the t-th random number of its prefix's seed, so
        results depend on neither neighbours, batches nor caches. With temperature 0, log-probabilities are those at
        temperature 1.

        Raises:
            NonFiniteRowError: the logits after a prefix are infinite or not a number.
        """
        limits = [prefix.room(sampling) for prefix in prefixes]
        steps = max([0, *limits])
        uniforms = random_numbers(prefixes, steps, seed)
        results = [Sampled(ids=(), logprobs=(), finish=FinishReason.LENGTH) for _ in prefixes]
        targets = self._reader.distinct(prefixes)
        for members in self._batches(targets, limits):
            index = torch.tensor(members)
            turns = _Turns(
                members=members,
                targets=[targets[member] for member in members],
                limits=torch.tensor([limits[member] for member in members], device=self.network.device),
                uniforms=uniforms[index].to(self.network.device),
                ids=torch.zeros(len(members), steps, dtype=torch.long, device=self.network.device),
                logprobs=torch.zeros(len(members), steps, device=self.network.device),
                lengths=torch.zeros(len(members), dtype=torch.long, device=self.network.device),
            )
            for member, sampled in zip(members, self._write(turns, sampling), strict=True):
                results[member] = sampled
        return results

    def _batches(self, targets: Sequence[Target], limits: Sequence[int]) -> Iterator[list[int]]:
        """Turns that have room to write, as many at a time as memory allows."""
        capacity = self._batch_bytes // self.network.bytes_per_slot
        batch: list[int] = []
        longest = 0
        for index, (target, limit) in enumerate(zip(targets, limits, strict=True)):
            if limit <= 0:
                continue
            needed = len(target.tokens) + limit
            if batch and max(longest, needed) * (len(batch) + 1) > capacity:
                yield batch
                batch, longest = [], 0
            batch.append(index)
            longest = max(longest, needed)
        if batch:
            yield batch

    def _write(self, turns: _Turns, sampling: Sampling) -> list[Sampled]:
        front, logits = self._begin(turns)
        forbidden = torch.tensor(sampling.forbidden, dtype=torch.long, device=self.network.device)
        said = torch.zeros_like(logits, dtype=torch.bool) if sampling.presence_penalty else None
        alive = torch.ones_like(front.turns, dtype=torch.bool)
        ended: list[tuple[_Front, list[int]]] = []
        for step in range(turns.ids.shape[1]):
            rows = front.turns
            if sampling.forbidden:
                logits = logits.index_fill(-1, forbidden, -torch.inf)
            if said is not None:
                logits = logits - sampling.presence_penalty * said[rows]
            tokens, logprobs = draw(logits, turns.uniforms[rows, step], sampling.temperature, sampling.truncation)
            _check(logprobs, turns, rows, step)
            turns.ids[rows, step], turns.logprobs[rows, step] = tokens, logprobs
            if said is not None:
                said[rows, tokens] = True
            turns.lengths[rows] += alive
            alive = alive & ~torch.isin(tokens, self._stops) & (turns.limits[rows] > step + 1)
            remaining = int(alive.sum())
            if 2 * remaining <= len(rows):
                ended.append((front, rows[~alive].tolist()))
                if remaining == 0:
                    break
                front, tokens = self._narrow(front, turns, alive, step), tokens[alive]
                alive = alive[alive]
            logits = self.network.step_logits(tokens, front.positions + step, front.cache, front.visible)
        return self._finish(turns, ended)

    def _begin(self, turns: _Turns) -> tuple[_Front, torch.Tensor]:
        """Reads what has not been read, and gives every turn a row of its own."""
        device = self.network.device
        distinct = list({id(target): target for target in turns.targets}.values())
        order = {id(target): index for index, target in enumerate(distinct)}
        places = [order[id(target)] for target in turns.targets]
        picks, logits = self._reader.read(distinct)
        picks = [self._plant(pick, places.count(place)) for place, pick in enumerate(picks)]
        # Distinct prefixes that were read together lie in their cache as the turns do.
        alone = len(picks) == len(places) and len({id(pick.cache) for pick in picks}) == 1
        cache = picks[0].cache if alone else None
        if cache is None:
            cache = gather([picks[place] for place in places], self.network.layer_count)
        positions = [int(target.reading.positions[0, -1]) + 1 for target in turns.targets]
        front = _Front(
            cache=cache,
            before=cache.owned,
            turns=torch.arange(len(places), device=device),
            positions=torch.tensor(positions, device=device),
            visible=self._visible(cache, turns.ids.shape[1]),
            begun=0,
        )
        return front, logits[torch.tensor(places, device=device)]

    def _plant(self, pick: Pick, turns: int) -> Pick:
        """A prefix of many turns becomes a trunk that they share, where that is known to pay."""
        trunk = pick.cache.trunks[pick.row] if pick.cache is not None and pick.cache.trunks else None
        own = pick.kept - (0 if trunk is None else trunk.length)
        if turns < 2 or turns * own < TRUNK_TOKENS or self.network.device.type != "cpu":
            return pick
        return planted(pick, self.network.layer_count)

    def _visible(self, cache: SlotCache, steps: int) -> torch.Tensor | None:
        if cache.owned.all():
            return None
        to_come = np.ones((len(cache.owned), steps), dtype=np.bool_)
        return torch.from_numpy(np.concatenate([cache.owned, to_come], axis=1)).to(self.network.device)

    def _narrow(self, front: _Front, turns: _Turns, alive: torch.Tensor, step: int) -> _Front:
        """A smaller cache with the rows that go on."""
        larger = front.close(np.full(len(alive), step))
        sizes = larger.sizes.tolist()
        rows = alive.nonzero()[:, 0].tolist()
        cache = gather([Pick(larger, row, sizes[row]) for row in rows], self.network.layer_count)
        return _Front(
            cache=cache,
            before=cache.owned,
            turns=front.turns[alive],
            positions=front.positions[alive],
            visible=self._visible(cache, turns.ids.shape[1] - step),
            begun=step,
        )

    def _finish(self, turns: _Turns, ended: Sequence[tuple[_Front, list[int]]]) -> list[Sampled]:
        """Hands out what was written, and remembers the rows that wrote it."""
        lengths = turns.lengths.tolist()
        written = [row[:length] for row, length in zip(turns.ids.tolist(), lengths, strict=True)]
        logprobs = [row[:length] for row, length in zip(turns.logprobs.tolist(), lengths, strict=True)]
        # A turn's last token was drawn but never fed.
        fed = np.array(lengths) - 1
        for front, members in ended:
            rows = front.turns.tolist()
            held = {rows.index(turn): turns.targets[turn].tokens + tuple(written[turn][:-1]) for turn in members}
            self.memory.remember(front.close(fed[rows]), held)
        stops = set(self._stops.tolist())
        return [
            Sampled(
                ids=tuple(ids),
                logprobs=tuple(values),
                finish=FinishReason.STOP if ids[-1] in stops else FinishReason.LENGTH,
            )
            for ids, values in zip(written, logprobs, strict=True)
        ]


def _check(logprobs: torch.Tensor, turns: _Turns, rows: torch.Tensor, step: int) -> None:
    finite = torch.isfinite(logprobs)
    if not bool(finite.all()):
        turn = int(rows[int(finite.int().argmin())])
        raise NonFiniteRowError(
            f"expected finite logits from the policy; some are infinite or not a number, at token {step} of the turn",
            row=turns.members[turn],
        )


def draw(
    logits: torch.Tensor, uniforms: torch.Tensor, temperature: float, truncation: Truncation = WHOLE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws a token per row by inverting the cumulative distribution; temperature 0 takes the most probable one.

    Args:
        logits: float32, shape (rows, vocabulary).
        uniforms: float64 in [0, 1), shape (rows,).
        temperature: divides the logits.
        truncation: restricts the tempered distribution; of no effect at temperature 0.

    Returns:
        Tokens and their log-probabilities, each of shape (rows,); the latter are NaN where logits are not finite.
    """
    if temperature == 0.0:
        logprobs = torch.log_softmax(logits, dim=-1)
        tokens = logprobs.argmax(-1)
    else:
        tempered = logits / temperature
        if truncation != WHOLE:
            tempered = truncated(tempered, lowest_kept(tempered, truncation))
        logprobs = torch.log_softmax(tempered, dim=-1)
        mass = logprobs.double().exp().cumsum(-1)
        tokens = torch.searchsorted(mass, (uniforms * mass[:, -1])[:, None], right=True)[:, 0]
        # A row of NaN has no place for any number.
        tokens = tokens.clamp(max=logits.shape[-1] - 1)
    return tokens, logprobs.gather(-1, tokens[:, None])[:, 0]
