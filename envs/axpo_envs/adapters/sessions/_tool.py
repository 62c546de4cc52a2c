"""Defines `SessionTool`, an action of an environment that lives in a session; the session is a cache of its state.

The state of the tool is what was done so far and a digest of what each action showed. A session that stands where the
state says is gone on with. Where there is none, because a branch or a retry took it further, a deterministic
environment is reset and given the actions again; what it shows must be what it showed, else that is a `RewindFault`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from axpo_envs.adapters.sessions._pool import Reply, Session, SessionPool
from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.images import ImageRef
from axpo_envs.tool._arguments import known_arguments
from axpo_envs.tool.protocol import Effects, ToolArgumentError, ToolContext, ToolError
from axpo_envs.types import Parts, Question, ToolResult

OVER: Final = "The episode is over. Give your final answer."


class RewindFault(InfrastructureFault):
    """A session cannot be had again as it was: it showed something else, or cannot be given its actions again."""


class Taken(NamedTuple):
    """An action that was taken."""

    arguments: str
    """Its arguments as JSON."""
    digest: str
    """Hash of what it showed."""
    reward: float
    """Its reward."""
    done: bool
    """It ended the episode."""


State: TypeAlias = tuple[Taken, ...]


class SessionTool:
    """An action of an environment that lives in sessions.

    Args:
        name: how a policy calls it.
        description: what it does, for the policy.
        parameters: JSON schema of an action.
        opens: makes a new session.
        deterministic: the same number and actions always show the same. False: nothing is done twice, and an episode
            cannot be gone on with from a moment that its session has left behind.
        most_sessions: sessions open at a time. Where more are needed the one unused for longest begins anew, or, if all
            are at work, is waited for. Without `deterministic` there must be as many as episodes at a time.

        numbered: questions are those of `SessionQuestions`, and a reset is held to what its question shows. False:
            every episode begins alike, whatever the question.

    Raises:
        EnvConfigError: the schema is none of an object.
    """

    def __init__(  # noqa: PLR0913  # what a tool declares, and how its sessions are kept
        self,
        *,
        name: str,
        description: str,
        parameters: Mapping[str, Any],
        opens: Callable[[], Session],
        deterministic: bool,
        most_sessions: int = 64,
        numbered: bool = True,
    ) -> None:
        if parameters.get("type") != "object":
            raise EnvConfigError(f"tool {name!r}: expected the schema of an object; got {parameters!r}")
        if most_sessions < 1:
            raise EnvConfigError(f"tool {name!r}: expected most_sessions >= 1; got {most_sessions}")
        self._settings: dict[str, Any] = {
            "name": name,
            "description": description,
            "parameters": dict(parameters),
            "opens": opens,
            "deterministic": deterministic,
            "most_sessions": most_sessions,
            "numbered": numbered,
        }
        self._pool = SessionPool(opens, most_sessions)

    @property
    def name(self) -> str:
        """How a policy calls it."""
        return str(self._settings["name"])

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        return str(self._settings["description"])

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of an action."""
        parameters: Mapping[str, Any] = self._settings["parameters"]
        return parameters

    @property
    def effects(self) -> Effects:
        """`STATEFUL` where actions can be given again; else `EXTERNAL`: each is taken once."""
        return Effects.STATEFUL if self.rewinds else Effects.EXTERNAL

    @property
    def rewinds(self) -> bool:
        """Whether episodes can be gone on with from any earlier moment."""
        return bool(self._settings["deterministic"])

    @property
    def fingerprint(self) -> str:
        """Whether it rewinds."""
        return f"session deterministic={self.rewinds}"

    @property
    def timeout_s(self) -> float | None:
        """None: sessions keep their own limits."""
        return None

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments, of which only the names are checked here; the environment checks their values.

        Raises:
            ToolArgumentError: one is missing or unknown, or they are no JSON.
        """
        given = known_arguments(arguments, *(self.parameters.get("properties") or {"": None}))
        for name in self.parameters.get("required", ()):
            if name not in given:
                raise ToolArgumentError(f"{name} is missing")
        try:
            json.dumps(given, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ToolArgumentError(f"the arguments are no JSON: {error}") from None
        return given

    def initial_state(self, question: Question) -> State:
        """Nothing done."""
        del question
        return ()

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """Takes an action where the state says.

        Raises:
            ToolError: the episode is over, or the environment does not take the action.
            RewindFault: no session stands there, and none can be brought there.
            InfrastructureFault: the environment failed.
        """
        if state and state[-1].done:
            raise ToolError(OVER)
        number = self._number(context)
        session = self._session_at(number, state, context.question)
        try:
            reply = session.act(arguments)
        except ToolError:
            self._pool.keep((number, state), session)
            raise
        except BaseException:
            self._pool.drop(session)
            raise
        taken = Taken(json.dumps(arguments, sort_keys=True), digest(reply.parts), float(reply.reward), reply.done)
        after = (*state, taken)
        if reply.done:
            self._pool.spare(session)
            return ToolResult(content=(*reply.parts, f"\n{OVER}")), after
        self._pool.keep((number, after), session)
        return ToolResult(content=reply.parts), after

    def first(self, number: int) -> Reply:
        """What the episode of a number begins with; its session is kept for the first rollout that acts."""
        session = self._pool.fresh()
        try:
            reply = session.reset(number)
        except BaseException:
            self._pool.drop(session)
            raise
        self._pool.keep((number, ()), session)
        return reply

    def close(self) -> None:
        """Ends all sessions that wait; later calls open new ones."""
        self._pool.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._settings,)

    def _number(self, context: ToolContext) -> int:
        """The number of the episode: of its question, or of nothing but the call's seed where all begin alike."""
        return number_of(context.question) if self._settings["numbered"] else 0

    def _session_at(self, number: int, state: State, question: Question) -> Session:
        session = self._pool.take((number, state))
        if session is not None:
            return session
        if state and not self.rewinds:
            raise RewindFault(
                f"{self.name}: no session stands behind action {len(state)} of episode {number} any more, and the "
                "environment was not declared deterministic"
            )
        session = self._pool.fresh()
        try:
            self._bring(session, number, state, question)
        except BaseException:
            self._pool.drop(session)
            raise
        return session

    def _bring(self, session: Session, number: int, state: State, question: Question) -> None:
        """Resets a session and gives it the actions again, which must show what they showed."""
        where = f"{self.name}: episode {number}"
        shown = digest(session.reset(number).parts)
        if self._settings["numbered"] and shown != question.answer:
            raise RewindFault(f"{where} began with something else when it was reset again")
        for place, taken in enumerate(state, start=1):
            try:
                reply = session.act(json.loads(taken.arguments))
            except ToolError as error:
                raise RewindFault(f"{where}: action {place} was refused when it was taken again: {error}") from error
            if (digest(reply.parts), float(reply.reward), reply.done) != taken[1:]:
                raise RewindFault(f"{where}: action {place} showed something else when it was taken again")


def digest(parts: Parts) -> str:
    """Hash of what was shown."""
    return digest_of(*(part.digest if isinstance(part, ImageRef) else f"text:{part}" for part in parts))


def number_of(question: Question) -> int:
    """The number of the episode that a question of `SessionQuestions` asks for."""
    return int(question.id)


def _rebuild(settings: dict[str, Any]) -> SessionTool:
    return SessionTool(**settings)
