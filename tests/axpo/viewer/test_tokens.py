import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel as ByteLevelSplit

from axpo.report._rollout_view import Piece, Tone, pieces_of
from axpo.viewer._tokens import Token, Tokens, probability, stretches, tokenizer_file
from axpo_agents.types import Completion, Context, FinishReason

WORDS = {"<think>": 0, "look": 1, "</think>": 2, "<answer>": 3, "7": 4, "</answer>": 5, "<end>": 6}


def words() -> Tokens:
    tokenizer = Tokenizer(WordLevel(WORDS, unk_token="<end>"))
    tokenizer.decoder = __import__("tokenizers").decoders.Fuse()
    return Tokens(tokenizer)


def completion(*ids: int, logprob: float = math.log(0.5)) -> Completion:
    return Completion(
        context=Context(ids=()),
        ids=ids,
        logprobs=(logprob,) * len(ids),
        finish=FinishReason.STOP,
        policy_version=0,
    )


def token(start: int, stop: int) -> Token:
    return Token(id=start, probability=0.5, start=start, stop=stop)


def test_tokens_are_found_in_the_text_they_spell() -> None:
    found = words().of(completion(0, 1, 2, 6), "<think>look</think>")
    assert found is not None
    assert [(each.id, each.start, each.stop) for each in found] == [(0, 0, 7), (1, 7, 11), (2, 11, 19), (6, 19, 19)]
    assert found[0].probability == pytest.approx(0.5)


def test_tokens_begin_behind_a_thinking_tag_of_the_prompt() -> None:
    found = words().of(completion(1, 2, 6), "<think>\nlook</think>")
    assert found is not None
    assert [(each.id, each.start, each.stop) for each in found] == [(1, 8, 12), (2, 12, 20), (6, 20, 20)]


def test_tokens_that_spell_another_text_have_no_place() -> None:
    assert words().of(completion(0, 1, 2), "<think>see</think>") is None
    assert words().of(completion(0, 1), "<think>look</think>") is None
    assert words().of(completion(1, 2), "I look</think>") is None


def test_letters_of_several_tokens_belong_to_the_one_that_completes_them() -> None:
    alphabet = sorted(ByteLevelSplit.alphabet())
    tokenizer = Tokenizer(BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = ByteLevelSplit(add_prefix_space=False)
    tokenizer.decoder = ByteLevel()
    ids = tokenizer.encode("é!").ids
    found = Tokens(tokenizer).of(completion(*ids), "é!")
    assert found is not None
    assert [(each.start, each.stop) for each in found] == [(0, 0), (0, 1), (1, 2)]


def test_ids_of_another_vocabulary_are_no_error() -> None:
    assert words().of(completion(99, 2**31), "x") is None
    assert words().text([99]) in (None, "")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {}}', "\x00"])
def test_a_file_that_is_no_tokenizer_leaves_texts_unknown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    assert Tokens.read(path).text([0]) is None
    assert Tokens.read(tmp_path / "none.json").text([0]) is None


def test_the_newest_checkpoint_tells_the_vocabulary(tmp_path: Path) -> None:
    assert tokenizer_file(tmp_path, "some/model", None) is None
    assert tokenizer_file(tmp_path, "tiny", None) is not None
    for step in ("step-000010", "step-000020"):
        (tmp_path / "checkpoints" / step).mkdir(parents=True)
    (tmp_path / "checkpoints" / "step-000010" / "tokenizer.json").write_text("{}")
    assert tokenizer_file(tmp_path, "tiny", None) == tmp_path / "checkpoints" / "step-000010" / "tokenizer.json"
    assert tokenizer_file(tmp_path, "tiny", tmp_path) == tmp_path / "tokenizer.json"


def test_pieces_are_cut_where_tokens_begin() -> None:
    pieces = [
        Piece(text="<think>a b</think>", tone=Tone.THINKING, frozen=True),
        Piece(text="c", tone=Tone.TEXT, frozen=False),
    ]
    found = stretches(pieces, [token(0, 8), token(8, 10), token(10, 18), token(18, 18), token(18, 19)])
    assert [(each.text, each.token and each.token.start, each.frozen) for each in found] == [
        ("<think>a", 0, True),
        (" b", 8, True),
        ("</think>", 10, True),
        ("c", 18, False),
    ]


def test_a_token_across_two_pieces_shades_both() -> None:
    pieces = [Piece(text="ab", tone=Tone.TEXT, frozen=True), Piece(text="cd", tone=Tone.TEXT, frozen=False)]
    found = stretches(pieces, [token(0, 1), token(1, 3), token(3, 4)])
    assert [(each.text, each.token and each.token.start) for each in found] == [("a", 0), ("b", 1), ("c", 1), ("d", 3)]


@given(st.text(max_size=40), st.lists(st.integers(0, 6), max_size=20))
def test_stretches_are_the_text_whatever_the_tokens(text: str, sizes: list[int]) -> None:
    tokens, position = [], 0
    for size in sizes:
        end = min(position + size, len(text))
        tokens.append(token(position, end))
        position = end
    assert "".join(each.text for each in stretches(pieces_of(text, 0), tokens)) == text


def test_shades_are_tenths() -> None:
    levels = [Token(id=0, probability=share, start=0, stop=0).level for share in (0.0, 0.09, 0.1, 0.95, 1.0)]
    assert levels == [0, 0, 1, 9, 9]
    assert probability(-0.693147) == pytest.approx(0.5)
    assert probability(3.0) == 1.0
