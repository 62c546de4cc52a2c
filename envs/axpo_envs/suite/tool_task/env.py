"""Defines `axpo/ToolTask-v0`: the user's own questions, tools and reward, without a subclass.

```python
env = gymnasium.make(
    "axpo/ToolTask-v0",
    questions=[{"id": "sum", "prompt": "What is 17 * 23?", "answer": "391"}],
    tools=[multiply],
    reward="numeric",
)
```
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.gate import Audit, Gate
from axpo_envs.governance import Governance, GovernedSettings
from axpo_envs.imaging._decoding import read_colour
from axpo_envs.parsing import AnswerFormat
from axpo_envs.plumbing.knobs import knob_names
from axpo_envs.questions import ImageReading, load_questions
from axpo_envs.questions.sources import QuestionSubset
from axpo_envs.rewards import answer_problem, describe_reward, make_reward
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.suite.tool_task._tools import asks_for_paper, tools_of
from axpo_envs.tool.protocol import Tool, check_views
from axpo_envs.tools.paper_set import IMAGE_CAPTION, IMAGE_NUMBERS

ENV_ID: Final = "axpo/ToolTask-v0"
"""Gymnasium id."""

_MISSING: Final = object()
_ANSWER_PLACES: Final[dict[str, str]] = {
    AnswerFormat.BOXED: "as \\boxed{...}",
    AnswerFormat.BOXED_TAG: "as <answer>\\boxed{...}</answer>",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToolTaskSettings(GovernedSettings):
    """The keyword arguments of `gymnasium.make`.

    Raises:
        EnvConfigError: a value is unusable; nothing has been read yet.
    """

    questions: Any
    """A list (or any iterable) of rows `{"id", "prompt", "answer", "images"?, "hops"?, "labels"?, "forbidden_tools"?,
    "required_tools"?, "split"?}`, the path of a JSONL file of such, `hf:OWNER/NAME[/CONFIG][:SPLIT]`, or a mapping
    from splits to iterables of rows; see `axpo_envs.questions._task_row` for the fields. An iterator is used up by one
    environment."""
    tools: Any = ()
    """Tools, `@tool` functions, typed functions, collections such as `mcp_tools(...)`, or texts: `package.module:name`,
    `image_zoom_in` (crops at `view_size`), `measure`, `ocr`, `sql`, `shell`, `edit`, `browser` (the last four start
    with the question's column of their name), `image_search:FOLDER` (an index), `image_search:URL` (a service),
    `mcp:COMMAND`, `mcp:URL`, or `paper` (`python`, `search` and `image_zoom_in` as `axpo_envs.tools.paper_tools` makes
    them); one of these or a list."""
    search: Any = None
    """What the `search` of `paper` searches: the path of a corpus (`FILE.jsonl`), `http://...` of a retrieval server,
    `tavily`, `package.module:name`, or a `SearchBackend`. There is no default: questions say nothing of where their
    answers stand."""
    reward: Any = "exact_match"
    """What `axpo_envs.rewards.make_reward` takes: a name with or without parameters, a function, or a mapping
    from such to weights."""
    instructions: str | None = None
    """How to act and answer; None says where the answer is to be written."""
    max_turns: int = 3
    """Turns of an episode that may call tools."""
    max_calls_per_turn: int = 4
    """Calls executed per turn."""
    view_size: int | None = None
    """Longer side in pixels to which the policy's view of a question's larger images is reduced; None shows originals.
    Tools are given the originals in any case, and told at which sizes the policy saw them."""
    result_view_size: int | None = None
    """The same for images that tools return; None shows them as the tools made them."""
    image_hosts: Any = ()
    """Hosts from which images may be fetched that rows give by their address: `["example.org", "*.example.org"]`, or
    `["*"]` for any on the public network; none by default."""
    background: Any = "white"
    """Colour on which transparent images are laid, the questions' and the tools': a name, a code such as `#ffffff`, or
    three levels from 0 to 255."""
    split: str | None = None
    """Which rows to ask where rows have a `split`; None asks those of `train`."""
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What the rows call a field that has another name there: `{"prompt": "problem", "answer": "solution"}`."""
    answers: str = AnswerFormat.EITHER
    """Where a turn's answer stands: `tag`, `boxed`, `either`, or `boxed_tag` (in a box between the tags)."""
    image_caption: str | None = None
    """What stands before every image that a tool returns, `{index}` in it for its number; None tells the number where
    `paper` is among the tools, and else nothing."""
    gate: Gate | None = None
    """Decides about every call that is ready to run, see `ToolEnvSpec.gate`."""
    audit: Audit | None = None
    """Is told of every attempted call, see `ToolEnvSpec.audit`."""

    def __post_init__(self) -> None:
        limits = (("max_turns", 0), ("max_calls_per_turn", 1), ("view_size", 1), ("result_view_size", 1))
        for name, least in limits:
            value = getattr(self, name)
            if value is None and name.endswith("view_size"):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise EnvConfigError(f"{name} must be an integer from {least}; got {value!r}")
        hosts_of(self.image_hosts)
        for name in ("instructions", "split", "image_caption"):
            if not isinstance(getattr(self, name), str | None):
                raise EnvConfigError(f"{name} must be text; got {getattr(self, name)!r}")
        if not isinstance(self.columns, Mapping):
            raise EnvConfigError(f"columns must be a mapping from fields to names of columns; got {self.columns!r}")
        if self.answers not in tuple(AnswerFormat):
            raise EnvConfigError(f"answers must be one of {', '.join(AnswerFormat)}; got {self.answers!r}")
        try:
            read_colour(self.background)
        except ValueError as error:
            raise EnvConfigError(f"background: {error}") from None


def hosts_of(given: Any) -> tuple[str, ...]:
    """The hosts of `ToolTaskSettings.image_hosts`; a single text is one.

    Raises:
        EnvConfigError: it is no list of texts.
    """
    hosts = (given,) if isinstance(given, str) else given
    if not isinstance(hosts, list | tuple) or not all(isinstance(host, str) and host for host in hosts):
        raise EnvConfigError(f"image_hosts must be a list of hosts such as 'example.org'; got {given!r:.100}")
    return tuple(hosts)


class ToolTask(ToolEnv):
    """The user's own questions, tools and reward.

    It pickles as its keyword arguments and the current episode.

    Args:
        render_mode: as in Gymnasium.
        settings: the fields of `ToolTaskSettings`; `questions` is needed.

    Raises:
        EnvConfigError: a setting, a question, a tool or the reward is unusable; of questions, the message lists row
            and field of each problem.
    """

    def __init__(self, *, render_mode: str | None = None, **settings: Any) -> None:
        self._settings = _settings_from(settings)
        chosen = self._settings
        tools = tools_of(chosen.tools, search=chosen.search, view_size=chosen.view_size)
        check_views(tools, self._settings.view_size)
        super().__init__(chosen.governance.over(_spec_of(chosen, tools)), render_mode=render_mode)

    @property
    def settings(self) -> ToolTaskSettings:
        """The keyword arguments."""
        return self._settings

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = {field.name: getattr(self._settings, field.name) for field in dataclasses.fields(ToolTaskSettings)}
        chosen = self.questions.chosen if isinstance(self.questions, QuestionSubset) else None
        return _remake, (arguments, self.render_mode, chosen, self._governed), self._moment()

    def _moment(self) -> dict[str, Any]:
        """What changes from step to step."""
        names = ("_state", "_unbegun", "_np_random", "_np_random_seed", "truncates_faults")
        return {name: self.__dict__[name] for name in names if name in self.__dict__}


def _remake(
    arguments: dict[str, Any],
    render_mode: str | None,
    chosen: tuple[Sequence[int], int | None] | None,
    governed: tuple[Governance, ...] = (),
) -> ToolTask:
    env = ToolTask(render_mode=render_mode, **arguments)
    for governance in governed:
        env = env.governed(governance)
    if chosen is None:
        return env
    return env.asking(QuestionSubset(env.questions, chosen[0], endless_from=chosen[1]))


def _settings_from(given: Mapping[str, Any]) -> ToolTaskSettings:
    names = knob_names(ToolTaskSettings)
    for name in given:
        if name not in names:
            raise EnvConfigError(f"ToolTask has no setting {name!r}; it has {', '.join(names)}")
    if given.get("questions", _MISSING) is _MISSING:
        raise EnvConfigError("ToolTask needs questions: a list of rows {'id', 'prompt', 'answer'}, or a file's path")
    return ToolTaskSettings(**given)


def _spec_of(settings: ToolTaskSettings, tools: tuple[Tool, ...]) -> ToolEnvSpec:
    reward = make_reward(settings.reward)
    background = read_colour(settings.background)
    questions = load_questions(
        settings.questions,
        split=settings.split,
        columns=settings.columns,
        check=partial(answer_problem, reward),
        images=ImageReading(background=background, hosts=hosts_of(settings.image_hosts)),
        tools=[tool.name for tool in tools],
    )
    return ToolEnvSpec(
        env_id=ENV_ID,
        questions=questions,
        tools=tools,
        reward=reward,
        instructions=_instructions_of(settings, tools),
        max_turns=settings.max_turns,
        max_calls_per_turn=settings.max_calls_per_turn,
        gate=settings.gate,
        audit=settings.audit,
        answers=AnswerFormat(settings.answers),
        view_size=settings.view_size,
        result_view_size=settings.result_view_size,
        background=background,
        image_caption=_caption_of(settings),
        settings=(("reward", describe_reward(reward)),),
    )


def _instructions_of(settings: ToolTaskSettings, tools: tuple[Tool, ...]) -> str:
    if settings.instructions is not None:
        return settings.instructions
    where = _ANSWER_PLACES.get(settings.answers, "between answer tags: <answer>...</answer>")
    use = f"Tools may be called in up to {settings.max_turns} turns. " if tools and settings.max_turns else ""
    numbers = f"{IMAGE_NUMBERS} " if use and _caption_of(settings) == IMAGE_CAPTION else ""
    return f"{use}{numbers}Write the final answer {where}"


def _caption_of(settings: ToolTaskSettings) -> str:
    if settings.image_caption is not None:
        return settings.image_caption
    return IMAGE_CAPTION if asks_for_paper(settings.tools) else ""
