"""An environment of ours as tools of TRL's own `GRPOTrainer`: its parser, its tool loop and its update are real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
import trl
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import get_json_schema
from trl.chat_template_utils import qwen3_chat_template

from axpo.adapters.trl import environment_reward, environment_rows, tool_environments
from axpo_envs import (
    ExactMatch,
    ImageRef,
    InfrastructureFault,
    ListQuestions,
    Question,
    RewardFault,
    ToolEnv,
    ToolEnvSpec,
    ToolFault,
)
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.web import Retries
from axpo_envs.tools import ImageZoomIn, ToolError, tool

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")

ONCE = Retries(attempts=1)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")


@tool
def add(a: int, b: int) -> int:
    """Adds two whole numbers.

    Args:
        a: the first.
        b: the second.
    """
    if a == 99:
        raise InfrastructureFault("the adder is down")
    if a == 98:
        raise ToolError("too large")
    return a + b


def sums(**settings: Any) -> ToolEnv:
    questions = [Question(id=f"{a}", prompt=(f"What is {a} + 2?",), answer=str(a + 2)) for a in range(4)]
    spec = ToolEnvSpec(
        env_id="mine/Sums-v0",
        questions=ListQuestions(questions),
        tools=(add,),
        reward=ExactMatch(),
        instructions="Answer in <answer>.",
        **settings,
    )
    return ToolEnv(spec)


def letters() -> PreTrainedTokenizerFast:
    """One token for every special tag and every letter of ASCII, so that a model of any size has them all."""
    words = [*SPECIAL, *TAGS, "\n", *map(chr, range(32, 127))]
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split("", behavior="isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIAL])
    core.add_tokens([AddedToken(word, special=False, normalized=False) for word in TAGS])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = qwen3_chat_template
    return tokenizer


class Scripted(trl.GRPOTrainer):  # type: ignore[misc]
    """Writes what the script says: the turns of every rollout of the batch."""

    scripts: list[list[str]] = []  # noqa: RUF012
    prompts: list[str] = []  # noqa: RUF012

    def _generate_single_turn(self, prompt_ids: Any, *_: Any, **__: Any) -> Any:
        texts = [self._tokenizer.decode(ids) for ids in prompt_ids]
        self.prompts += texts
        waiting = iter([script for script in self.scripts if script])
        return [self._tokenizer(next(waiting).pop(0) + "<|im_end|>")["input_ids"] for _ in texts], None


def call(a: int) -> str:
    return f'<tool_call>\n{{"name": "add", "arguments": {{"a": {a}, "b": 2}}}}\n</tool_call>'


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    env, tokenizer = sums(), letters()
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = Qwen3Config(vocab_size=len(tokenizer), num_key_value_heads=1, head_dim=16, **small)
    args = trl.GRPOConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=400,
        max_steps=1,
        max_tool_calling_iterations=env.rules.max_turns,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    made = Scripted(
        model=Qwen3ForCausalLM(config),
        reward_funcs=[environment_reward],
        args=args,
        train_dataset=datasets.Dataset.from_list(environment_rows(env, 1, first=1)),
        processing_class=tokenizer,
        environment_factory=tool_environments(env, retries=ONCE),
    )
    made.prompts = []
    return made


def test_trl_executes_calls_in_our_environment_and_leaves_rollouts_without_a_reward_out(trainer: Scripted) -> None:
    trainer.scripts = [
        [call(1), "<think>\n3 it is\n</think>\n\n<answer>3</answer>"],
        ["<answer>4</answer>"],
        ['<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>', "<answer>5</answer>"],
        [call(99), "<answer>3</answer>"],
    ]
    trainer.train()

    rewards, advantages = list(trainer._logs["rewards"]["environment_reward"]), list(trainer._logs["advantages"])
    assert rewards[:3] == [1.0, 0.0, 0.0]
    assert rewards[3] != rewards[3]  # a fault of the infrastructure is not scored, whatever was answered after it
    assert advantages == pytest.approx([2 / 3 / (3**-0.5), -(3**-0.5), -(3**-0.5), 0.0], abs=1e-3)
    first, *later = trainer.prompts
    assert "Answer in <answer>." in first
    assert "<|im_start|>user\nWhat is 1 + 2?<|im_end|>" in first
    assert any("<tool_response>\n3\n</tool_response>" in text for text in later)
    assert any("b is missing" in text for text in later)
    assert trainer.state.log_history[0]["reward"] == pytest.approx(1 / 3)


def test_what_trl_reads_of_a_tool_is_its_schema() -> None:
    episode = tool_environments(sums())()
    assert get_json_schema(episode.add)["function"] == {  # type: ignore[attr-defined]
        "name": "add",
        "description": "Adds two whole numbers.",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "description": "the first."},
                "b": {"type": "integer", "description": "the second."},
            },
            "required": ["a", "b"],
        },
    }


def zooming() -> ToolEnv:
    import numpy as np

    picture = ImageRef(np.arange(200 * 100 * 3, dtype=np.int64).reshape(100, 200, 3).astype(np.uint8))
    questions = ListQuestions([Question(id="q", prompt=("Look: ", picture), answer="7")])
    spec = ToolEnvSpec(env_id="Z", questions=questions, tools=(ImageZoomIn(),), reward=ExactMatch(), view_size=50)
    return ToolEnv(spec)


def test_images_of_question_and_result_are_pillow_images_in_the_messages() -> None:
    episode: Any = tool_environments(zooming())()
    opening = episode.reset(index=0)
    assert [part["type"] for part in opening] == ["text", "image"]
    assert opening[1]["image"].size == (50, 25)
    result = episode.image_zoom_in(bbox_2d=[0, 0, 500, 500])
    assert [part["image"].mode for part in result if part["type"] == "image"] == ["RGB"]


def finished(scripted: str | None, env: ToolEnv | None = None, *, calls: int = 0) -> list[float | None]:
    episode: Any = tool_environments(env or sums(), retries=ONCE)()
    episode.reset(index=1)
    for _ in range(calls):
        episode.add(a=1, b=2)
    messages = [] if scripted is None else [{"role": "assistant", "content": scripted}]
    return environment_reward([messages], [episode])


@pytest.mark.parametrize(
    ("last", "reward"),
    [
        ("<answer>3</answer>", 1.0),
        ("three", 0.0),
        (None, 0.0),
        (call(1) + "<answer>3</answer>", 0.0),  # a call that TRL did not execute is no answer
        ("<tool_call>{", 0.0),
    ],
)
def test_the_last_message_ends_the_episode(last: str | None, reward: float) -> None:
    assert finished(last) == [reward]


def test_calls_beyond_the_limit_end_the_episode_without_an_answer() -> None:
    assert finished("<answer>3</answer>", sums(max_turns=2), calls=2) == [1.0]
    assert finished("<answer>3</answer>", sums(max_turns=2), calls=4) == [0.0]


def test_a_fault_of_ours_is_raised_although_trl_shows_it_to_the_policy() -> None:
    @tool
    def broken(a: int) -> int:
        """Breaks."""
        raise KeyError(a)

    def worse(question: Question, answer: str | None, state: Any) -> float:
        raise KeyError(answer)

    from axpo_envs import FunctionReward

    env = ToolEnv(ToolEnvSpec(env_id="B", questions=sums().questions, tools=(broken,), reward=ExactMatch()))
    episode: Any = tool_environments(env)()
    episode.reset(index=0)
    with pytest.raises(ToolFault):
        episode.broken(a=1)
    with pytest.raises(ToolFault):
        environment_reward([[{"role": "assistant", "content": "<answer>3</answer>"}]], [episode])
    env = ToolEnv(ToolEnvSpec(env_id="B", questions=sums().questions, tools=(add,), reward=FunctionReward(worse)))
    with pytest.raises(RewardFault):
        finished("<answer>3</answer>", env)


def test_rollouts_of_one_row_differ_in_the_seed_of_their_tools() -> None:
    kind = tool_environments(sums())
    episodes: list[Any] = [kind(), kind()]
    for episode in episodes:
        episode.reset(index=0)
    assert len({episode._state.seed for episode in episodes}) == 2


def test_tools_that_cannot_be_methods_are_refused() -> None:
    @tool(name="reset")
    def begin(a: int) -> int:
        """Begins."""
        return a

    spec = ToolEnvSpec(env_id="R", questions=sums().questions, tools=(begin,), reward=ExactMatch())
    with pytest.raises(EnvConfigError, match="'reset'"):
        tool_environments(ToolEnv(spec))
    with pytest.raises(ValueError, match="index"):
        tool_environments(sums())().reset(prompt=[])
