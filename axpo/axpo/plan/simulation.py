"""Defines `simulate`: steps of sampling and learning on many devices, event by event, with episodes of uneven length.

A mean says nothing of waiting: a step ends with its last episode, and that one is the longest of hundreds. So every
episode is played: the tokens of its turns and the seconds of its tools are drawn from long-tailed distributions, its
turns are written by engines that write many at once, its continuations begin when the last first attempt has ended. The
learner updates, hands its weights over, and the next step begins as soon as `max_staleness` allows.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from axpo.plan._engines import NEVER, Engine, Turn
from axpo.plan.cluster import Chances, Cluster, Outcome

_FIRST: Final = 1
"""The first step that counts in a measurement: none, then, has to fill a pipeline."""


def simulate(cluster: Cluster, chances: Chances) -> Outcome:
    """Plays steps; the same cluster and chances give the same outcome."""
    return _Play(cluster=cluster, chances=chances).run()


@dataclass(slots=True)
class _Episode:
    """An episode under way."""

    step: int
    turns: list[float]
    tools: list[float]
    context: float
    home: int
    began: float
    place: int = 0
    tooling: float = 0.0


@dataclass(slots=True)
class _Step:
    """A step that is being sampled."""

    left: int
    ends: list[float] = field(default_factory=list)
    grows: bool = True
    version: int = 0


@dataclass(slots=True, kw_only=True)
class _Play:
    """The state of a simulation."""

    cluster: Cluster
    chances: Chances
    now: float = 0.0
    engines: list[Engine] = field(default_factory=list)
    nexts: list[float] = field(default_factory=list)
    rounds: dict[int, list[int]] = field(default_factory=dict)
    timers: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    steps: dict[int, _Step] = field(default_factory=dict)
    episodes: dict[int, _Episode] = field(default_factory=dict)
    ready: set[int] = field(default_factory=set)
    updated: list[float] = field(default_factory=list)
    versions: dict[int, int] = field(default_factory=dict)
    published: int = 0
    learned: int = 0
    learning: bool = False
    closing: bool = False
    begun: int = 0
    tails: list[float] = field(default_factory=list)
    spent: list[tuple[float, float]] = field(default_factory=list)
    counted: int = 0

    def run(self) -> Outcome:
        """Plays until the last update."""
        c = self.cluster
        self.engines = [Engine(step_s=c.step_s, row_s=c.row_s, most=c.concurrency) for _ in range(c.engines)]
        self.nexts = [NEVER] * c.engines
        self._begin_steps()
        while self.learned < self.chances.steps:
            self._to_next_event()
        return self._outcome()

    def _to_next_event(self) -> None:
        nearest = min(self.nexts)
        timer = self.timers[0][0] if self.timers else NEVER
        if min(nearest, timer) == NEVER:
            raise AssertionError("the simulation has come to a halt with steps left")
        if timer <= nearest:
            self.now, _, action = heapq.heappop(self.timers)
            action()
        else:
            self.now = nearest
            place = self.nexts.index(nearest)
            ended = self.engines[place].finished(now=self.now)
            self.nexts[place] = self.engines[place].next_event()
            for turn in ended:
                self._turn_ended(turn)
            if self.rounds.get(place) and self.engines[place].load == 0:
                self._round_ended(place)
        self._load_if_drained()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self.counted += 1
        heapq.heappush(self.timers, (self.now + seconds, self.counted, action))

    def _begin_steps(self) -> None:
        """Begins every step that the published weights allow."""
        c = self.cluster
        while self.begun < self.chances.steps and self.begun <= self.published + c.max_staleness:
            if c.together and self.learning:
                return
            self.begun += 1
            self.steps[self.begun] = _Step(left=c.episodes, version=self.published, grows=c.continuations > 0)
            for number in range(c.episodes):
                first_of_group = number % c.group_size == 0
                self._start(self.begun, number, grown=False, read=c.prompt if first_of_group else 0.0)

    def _start(self, step: int, number: int, *, grown: bool, read: float) -> None:
        c, chances = self.cluster, self.chances
        draw = random.Random(f"{chances.seed} {step} {number} {grown}")
        calls = _calls(draw, c) if grown or draw.random() < c.tool_rate else 0
        if grown:
            calls = max(calls, 1)
        turns = [min(c.most_tokens, _long_tailed(draw, c.turn_tokens, chances.turn_spread)) for _ in range(calls + 1)]
        if grown:
            # The turn that is cut has half of its tokens left.
            turns[0] /= 2
        tools = [_long_tailed(draw, c.tool_s, chances.tool_spread) for _ in range(calls)]
        key = (step * (c.episodes + c.continuations) + number) * 2 + int(grown)
        self.episodes[key] = _Episode(
            step=step, turns=turns, tools=tools, context=read, home=number % c.engines, began=self.now
        )
        self._ask(key)

    def _ask(self, key: int) -> None:
        """Asks for an episode's next turn: its own engine, or the one with the fewest turns."""
        episode = self.episodes[key]
        place = episode.home
        if not self.cluster.lockstep:
            loads = [engine.load for engine in self.engines]
            place = loads.index(min(loads))
        turn = Turn(tokens=episode.turns[episode.place], read=episode.context * self.cluster.read_s, episode=key)
        self.engines[place].ask(turn, now=self.now)
        self.nexts[place] = self.engines[place].next_event()

    def _turn_ended(self, turn: Turn) -> None:
        episode = self.episodes[turn.episode]
        if episode.place < len(episode.tools):
            seconds = episode.tools[episode.place]
            episode.tooling += seconds
            episode.place += 1
            episode.context = self.cluster.observation
            if self.cluster.lockstep:
                self.rounds.setdefault(episode.home, []).append(turn.episode)
            else:
                self._later(seconds, lambda: self._ask(turn.episode))
            return
        del self.episodes[turn.episode]
        self.spent.append((self.now - episode.began, episode.tooling))
        self._episode_ended(episode.step)

    def _round_ended(self, place: int) -> None:
        """All turns of a device have ended: their tools run, and the next round begins with the slowest one's end."""
        keys = self.rounds.pop(place)
        seconds = [self.episodes[key].tools[self.episodes[key].place - 1] for key in keys]
        lasts = max(*seconds, sum(seconds) / max(1.0, self.cluster.tools_at_once))

        def again() -> None:
            for key in keys:
                self._ask(key)

        self._later(lasts, again)

    def _episode_ended(self, number: int) -> None:
        step = self.steps[number]
        step.ends.append(self.now)
        step.left -= 1
        if step.left:
            return
        if step.grows:
            step.grows = False
            step.left = self.cluster.continuations
            for index in range(self.cluster.continuations):
                self._start(number, self.cluster.episodes + index, grown=True, read=0.0)
            return
        ends = sorted(step.ends)
        self.tails.append(ends[-1] - ends[int(0.9 * (len(ends) - 1))])
        self.ready.add(number)
        self._learn()

    def _learn(self) -> None:
        number = self.learned + 1
        if self.learning or number not in self.ready:
            return
        self.learning = True
        self.versions[number] = self.learned - self.steps[number].version
        self._later(self.cluster.learn_s, self._learned)

    def _learned(self) -> None:
        self.learning = False
        self.learned += 1
        self.updated.append(self.now)
        self.closing = True
        if self.cluster.waits_for_turns:
            for place, engine in enumerate(self.engines):
                engine.close()
                self.nexts[place] = engine.next_event()
        self._load_if_drained()
        self._learn()

    def _load_if_drained(self) -> None:
        """New weights are loaded once no turn is under way, or at once where turns are not waited for."""
        if not self.closing or (self.cluster.waits_for_turns and not all(one.is_idle for one in self.engines)):
            return
        self.closing = False
        for place, engine in enumerate(self.engines):
            engine.open(now=self.now, after=self.cluster.weights_s)
            self.nexts[place] = engine.next_event()
        version = self.learned
        self._later(self.cluster.weights_s, lambda: self._publish(version))

    def _publish(self, version: int) -> None:
        self.published = max(self.published, version)
        self._begin_steps()

    def _outcome(self) -> Outcome:
        c, steps = self.cluster, self.chances.steps
        counted = max(1, steps - _FIRST)
        began = self.updated[0] if steps > _FIRST else 0.0
        step_s = (self.updated[-1] - began) / counted
        learner = min(1.0, c.learn_s / step_s) if step_s else 1.0
        busy = sum(engine.busy_s for engine in self.engines)
        tokens = sum(engine.tokens for engine in self.engines)
        rows = [_rows(engine, c) for engine in self.engines if engine.busy_s]
        whole = sum(seconds for seconds, _ in self.spent)
        return Outcome(
            step_s=step_s,
            learner_share=learner,
            waiting_share=1.0 - learner,
            engine_share=busy / len(self.engines) / self.now if self.now else 0.0,
            fullness=sum(rows) / len(rows) if rows else 0.0,
            tail_s=sum(self.tails) / len(self.tails),
            tool_share=sum(tooling for _, tooling in self.spent) / whole if whole else 0.0,
            tokens_per_s=tokens / self.now if self.now else 0.0,
            staleness=sum(self.versions.values()) / len(self.versions),
        )


def _rows(engine: Engine, cluster: Cluster) -> float:
    """Mean turns under way, from what was written in the time: n turns write n tokens in step_s + n row_s."""
    rate = engine.tokens / engine.busy_s
    return rate * cluster.step_s / max(1e-12, 1 - rate * cluster.row_s)


def _long_tailed(draw: random.Random, mean: float, spread: float) -> float:
    """Log-normal with this mean."""
    return draw.lognormvariate(math.log(mean) - spread**2 / 2, spread) if mean > 0 else 0.0


def _calls(draw: random.Random, cluster: Cluster) -> int:
    """At least one call, with this mean, each further one as likely as the last."""
    more = 1 - 1 / max(1.0, cluster.calls)
    count = 1
    while draw.random() < more:
        count += 1
    return count
