"""Defines `Fleet`: several servers of one model that are asked as one, and take over new weights together."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from axpo_agents.remote._lane import Lane
from axpo_agents.remote._messages import Answer, Request
from axpo_agents.remote._server import InferenceServer
from axpo_agents.remote._settings import RemoteSettings
from axpo_agents.remote._weights import WeightForm, Weights
from axpo_envs.errors import InfrastructureFault


class Fleet:
    """Servers of one model. Threads may share it.

    A request goes to the server that its family hashes to, or to the idlest where that one is much busier. A server
    that cannot be reached rests, while its requests go to the others; when it is asked again, it first gets the weights
    that it should have.

    Args:
        settings: which servers, and how they are asked.
        form: how new weights reach them; None where they keep theirs.
    """

    def __init__(self, settings: RemoteSettings, form: WeightForm | None = None) -> None:
        self.settings = settings
        self._form = form
        once = replace(settings.retries, attempts=1)
        urls = (settings.url, *settings.more)
        self._lanes = [
            Lane(InferenceServer(replace(settings, url=url, more=(), retries=once)), settings.retries) for url in urls
        ]
        self._gate = threading.Condition()
        self._changing = False
        self._weights: Weights | None = None
        self._room = threading.BoundedSemaphore(self.at_once)

    @property
    def servers(self) -> tuple[InferenceServer, ...]:
        """The servers."""
        return tuple(lane.server for lane in self._lanes)

    @property
    def samples_per_request(self) -> int:
        """Turns after one prefix that are asked for at a time."""
        return self.settings.samples_per_request

    @property
    def at_once(self) -> int:
        """Requests under way at a time."""
        return self.settings.concurrency * len(self._lanes)

    def close(self) -> None:
        """Closes the connections; a later request opens new ones."""
        for lane in self._lanes:
            lane.server.close()

    def ask_all(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers to many requests, in their order; asked side by side as far as the settings allow.

        Raises:
            Exception: as `ask`; requests that had not been sent by then are left out.
        """
        if len(requests) <= 1:
            return [self.ask(request) for request in requests]
        with ThreadPoolExecutor(min(self.at_once, len(requests)), thread_name_prefix="ask") as pool:
            return list(pool.map(self.ask, requests))

    def ask(self, request: Request) -> Answer:
        """The answer to one request, from whichever server gives one.

        Raises:
            InfrastructureFault: all attempts failed; the last fault.
            ServiceRefusedError: a server refuses the request.
        """
        failed: list[Lane] = []
        while True:
            with self._room, self._chosen(request, failed) as (lane, weights):
                try:
                    return lane.ask(request, self._form, weights)
                except InfrastructureFault:
                    failed.append(lane)
                    if len(failed) >= self.settings.retries.attempts:
                        raise
            self._wait(len(failed))

    def adopt(self, weights: Weights) -> None:
        """Has all servers sample with these weights; a server that cannot be reached gets them when it can.

        Where they replace others, the requests that are under way are waited for, and others wait.

        Raises:
            InfrastructureFault: no server could be reached.
            ServiceRefusedError: a server refuses them.
        """
        if self._form is None:
            raise ValueError("expected servers that take over weights; these keep theirs")
        with self._changed():
            self._weights = weights
            failures = 0
            while True:
                faults = self._load(self._form, weights)
                if len(faults) < len(self._lanes):
                    return
                failures += 1
                if failures >= self.settings.retries.attempts:
                    raise faults[-1]
                self._wait(failures)

    def _load(self, form: WeightForm, weights: Weights) -> list[InfrastructureFault]:
        """Loads them everywhere at a time; what went wrong."""

        def tried(lane: Lane) -> InfrastructureFault | None:
            try:
                lane.load(form, weights)
            except InfrastructureFault as fault:
                return fault
            return None

        with ThreadPoolExecutor(len(self._lanes), thread_name_prefix="weights") as pool:
            return [fault for fault in pool.map(tried, self._lanes) if fault is not None]

    def _wait(self, failures: int) -> None:
        """Waits before another attempt, unless some server does not rest."""
        if all(lane.rest_s for lane in self._lanes):
            retries = self.settings.retries
            retries.sleep(min([retries.wait_s(failures), *(lane.rest_s for lane in self._lanes)]))

    @contextmanager
    def _changed(self) -> Iterator[None]:
        with self._gate:
            self._gate.wait_for(lambda: not self._changing)
            self._changing = True
            # Adapters have names of their own, but the older ones are unloaded, and their files removed.
            self._gate.wait_for(lambda: not any(lane.under_way for lane in self._lanes))
        try:
            yield
        finally:
            with self._gate:
                self._changing = False
                self._gate.notify_all()

    @contextmanager
    def _chosen(self, request: Request, failed: Sequence[Lane]) -> Iterator[tuple[Lane, Weights | None]]:
        """The server that is asked, and the weights that it must have."""
        with self._gate:
            self._gate.wait_for(lambda: not self._changing)
            lane = self._best(request.family, failed)
            lane.under_way += 1
            weights = self._weights
        try:
            yield lane, weights
        finally:
            with self._gate:
                lane.under_way -= 1
                self._gate.notify_all()

    def _best(self, family: int, failed: Sequence[Lane]) -> Lane:
        """The home of the family among those that failed least, or the idlest of these."""
        fewest = min(map(failed.count, self._lanes))
        fresh = [lane for lane in self._lanes if failed.count(lane) == fewest]
        awake = [lane for lane in fresh if not lane.rest_s] or [min(fresh, key=lambda lane: lane.rest_s)]
        home = max(awake, key=lambda lane: zlib.crc32(f"{family} {lane.server.settings.url}".encode()))
        idlest = min(awake, key=lambda lane: lane.under_way)
        return home if home.under_way <= 2 * idlest.under_way + 4 else idlest
