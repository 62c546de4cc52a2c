"""Defines `axpo/Benchmark-v0`: a published benchmark, read from disk and scored by its own rules, as an environment.

```python
env = gymnasium.make("axpo/Benchmark-v0", name="vstar", path="vstar_bench")
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from axpo_benchmarks.environment._reward import ScorerReward
from axpo_benchmarks.environment._tools import tools_for
from axpo_benchmarks.loaders import Benchmark, BenchmarkQuestions, find_benchmark
from axpo_benchmarks.scorers import SCORERS
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.governance import GovernedSettings
from axpo_envs.plumbing.knobs import check_range, knobs_of, settings_from
from axpo_envs.spec import ToolEnvSpec
from axpo_envs.tool.protocol import Tool
from axpo_envs.tools.paper_set import IMAGE_CAPTION, IMAGE_NUMBERS

ENV_ID: Final = "axpo/Benchmark-v0"
"""Gymnasium id."""

_ANSWER: Final = (
    "When you know the answer, or have to guess, write it alone in a box between answer tags: "
    "<answer>\\boxed{...}</answer>"
)
_RANGES: Final = (("max_turns", 0, 1000), ("view_size", 1, 65536), ("result_view_size", 1, 65536))


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSettings(GovernedSettings):
    """The keyword arguments of `gymnasium.make`.

    Raises:
        EnvConfigError: a value is unusable; nothing has been read yet.
    """

    name: str
    """Which benchmark: a name of `axpo_benchmarks.loaders.BENCHMARKS`, or one of its other spellings (`vstar`, `V*`,
    `HR-Bench 4K`, ...)."""
    path: Any
    """The folder or file that holds its published files."""
    slice: str | None = None
    """Which part of it; None is what the paper reports, `full` everything."""
    tools: Any = None
    """Texts, tools, or lists of both: `python`, `image_zoom_in`, `search`, `image_search:FOLDER`, `image_search:URL`,
    `paper` (Python, zooming, and the search if there is one), `none`, or what `axpo/ToolTask-v0` takes. None gives a
    benchmark what its kind needs: Python for mathematics, zooming for perception and search."""
    search: Any = None
    """What `search` searches, as in `axpo/ToolTask-v0`. Nothing that lies where the benchmark is published is found."""
    scorer: Any = None
    """Scores responses; None takes the benchmark's rules, which ask no judge."""
    max_turns: int = 5
    """Turns of an episode that may call tools: 5 is what the paper evaluates with."""
    view_size: int | None = None
    """Longer side in pixels to which larger images of questions are reduced for the policy; None shows originals, which
    is what tools are given in any case."""
    result_view_size: int | None = None
    """The same for images that tools return."""
    instructions: str | None = None
    """How to act and answer; None tells of the tools, and asks for `<answer>\\boxed{...}</answer>`."""

    def __post_init__(self) -> None:
        find_benchmark(self.name)
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None or name == "max_turns":
                check_range(name, value, int, low, high)
        if not isinstance(self.instructions, str | None):
            raise EnvConfigError(f"instructions must be text; got {self.instructions!r:.100}")


class BenchmarkEnv(ToolEnv):
    """Answer the questions of a published benchmark, with tools or without.

    Args:
        render_mode: as in Gymnasium.
        knobs: the fields of `BenchmarkSettings`; `name` and `path` are needed.

    Raises:
        EnvConfigError: a knob is unknown, missing or unusable, or a row of the benchmark is.
        MissingExtraError: a package that its files or its scorer need is not installed.
    """

    def __init__(self, *, render_mode: str | None = None, **knobs: Any) -> None:
        for needed in ("name", "path"):
            if needed not in knobs:
                raise EnvConfigError(f"Benchmark needs {needed}: name='v-star', path='FOLDER', for example")
        settings = settings_from(BenchmarkSettings, "Benchmark", knobs)
        benchmark = find_benchmark(settings.name)
        tools = tools_for(benchmark, settings.tools, search=settings.search, view_size=settings.view_size)
        numbers = {"python", "image_zoom_in"} <= {tool.name for tool in tools}
        self._settings = settings
        self._benchmark = benchmark
        self._source = benchmark.source(settings.path, settings.slice)
        self._reward = ScorerReward(settings.scorer or SCORERS[benchmark.name]())
        spec = ToolEnvSpec(
            env_id=ENV_ID,
            questions=self._source,
            tools=tools,
            reward=self._reward,
            instructions=_instructions(settings, tools, numbers=numbers),
            max_turns=settings.max_turns,
            view_size=settings.view_size,
            result_view_size=settings.result_view_size,
            image_caption=IMAGE_CAPTION if numbers else "",
            settings=(("benchmark", benchmark.name),),
        )
        super().__init__(settings.governance.over(spec), render_mode=render_mode)

    @property
    def settings(self) -> BenchmarkSettings:
        """The knobs."""
        return self._settings

    @property
    def knobs(self) -> dict[str, Any]:
        """The knobs as keyword arguments that make the same environment again."""
        return knobs_of(self._settings)

    @property
    def benchmark(self) -> Benchmark:
        """What is asked."""
        return self._benchmark

    @property
    def asked(self) -> BenchmarkQuestions:
        """All questions of the slice, with the parts of the benchmark that they belong to."""
        return self._source

    @property
    def scoring(self) -> ScorerReward:
        """The reward, which gives reasons where it is asked for verdicts."""
        return self._reward


def _instructions(settings: BenchmarkSettings, tools: tuple[Tool, ...], *, numbers: bool) -> str:
    if settings.instructions is not None:
        return settings.instructions
    if not tools or not settings.max_turns:
        return f"Answer the question. {_ANSWER}"
    names = ", ".join(tool.name for tool in tools)
    use = f"Answer the question. You may call tools ({names}), or none, in up to {settings.max_turns} turns."
    return " ".join([use, *([IMAGE_NUMBERS] if numbers else []), _ANSWER])
