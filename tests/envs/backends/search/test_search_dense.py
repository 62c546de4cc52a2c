"""Search by embeddings and by fused rankings; the encoder of these tests counts pairs of letters."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from axpo_envs.backends.search import DenseIndex, HybridSearch, LocalIndex, SentenceTransformerEncoder, TextEncoder
from axpo_envs.errors import EnvConfigError
from axpo_envs.suite.multi_hop_search import HopExpert, MultiHopSearch
from axpo_envs.testing import check_tool
from axpo_envs.tool.protocol import Effects, ToolError
from axpo_envs.tools import OpenDocument, Search

WIDTH = 256


class Letters:
    """Counts pairs of neighbouring characters by their hash."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bool]] = []

    @property
    def fingerprint(self) -> str:
        return "letters"

    def encode(self, texts: Sequence[str], *, queries: bool) -> NDArray[np.float32]:
        self.calls.append((len(texts), queries))
        rows = np.zeros((len(texts), WIDTH), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for pair in pairwise(text.casefold()):
                row[hashlib.blake2b("".join(pair).encode(), digest_size=1).digest()[0]] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1.0)


TEXTS = {
    "kyoto": "京都は日本の古い都です",
    "bangkok": "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย",
    "beijing": "北京是中国的首都",
    "bern": "Bern is the seat of government of Switzerland",
    "lima": "Lima is the capital of Peru",
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    rows = [json.dumps({"id": id, "text": text}, ensure_ascii=False) for id, text in TEXTS.items()]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("Switzerland's government", "bern"),
        ("首都 北京", "beijing"),
        ("日本の古い都", "kyoto"),
        ("เมืองหลวง", "bangkok"),
    ],
)
def test_every_backend_finds_words_of_every_script(corpus: Path, tmp_path: Path, query: str, found: str) -> None:
    words, dense = LocalIndex(corpus, cache=tmp_path), DenseIndex(corpus, Letters(), cache=tmp_path)
    for backend in (words, dense, HybridSearch((words, dense))):
        assert backend.search(query, 1)[0].document.id == found


def test_documents_are_embedded_once_and_read_from_a_file_afterwards(corpus: Path, tmp_path: Path) -> None:
    first, second = Letters(), Letters()
    one = DenseIndex(corpus, first, cache=tmp_path / "cache")
    other = DenseIndex(corpus, second, cache=tmp_path / "cache")
    assert (first.calls, second.calls) == ([(5, False)], [])
    assert one.search("Peru", 5) == other.search("Peru", 5)
    assert second.calls == [(1, True)]
    assert one.fingerprint == other.fingerprint


def _with_a_flipped_bit(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]


@pytest.mark.parametrize("damage", [lambda data: data[:40], lambda data: b"", _with_a_flipped_bit])
def test_damaged_vectors_are_computed_again(corpus: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    whole = DenseIndex(corpus, Letters(), cache=tmp_path).search("Peru", 5)
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(damage(file.read_bytes()))
    again = Letters()
    assert DenseIndex(corpus, again, cache=tmp_path).search("Peru", 5) == whole
    assert again.calls[0] == (5, False)


def test_a_changed_corpus_is_another_index(corpus: Path, tmp_path: Path) -> None:
    before = DenseIndex(corpus, Letters(), cache=tmp_path).fingerprint
    with corpus.open("a", encoding="utf-8") as file:
        file.write('{"id": "oslo", "text": "Oslo"}\n')
    grown = DenseIndex(corpus, Letters(), cache=tmp_path)
    assert grown.fingerprint != before
    assert len(grown) == 6
    assert grown.open("oslo") is not None
    assert grown.open("rome") is None


def test_equal_scores_are_ordered_by_id_and_copies_answer_alike(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(f'{{"id": "{id}", "text": "same"}}\n' for id in "cab"), encoding="utf-8")
    index = DenseIndex(path, Letters(), cache=tmp_path)
    assert [hit.document.id for hit in index.search("same", 3)] == ["a", "b", "c"]
    assert pickle.loads(pickle.dumps(index)).search("same", 2) == index.search("same", 2)
    with pytest.raises(ToolError):
        index.search(" ", 1)


def test_fused_scores_are_sums_of_reciprocal_ranks(corpus: Path, tmp_path: Path) -> None:
    words, dense = LocalIndex(corpus, cache=tmp_path), DenseIndex(corpus, Letters(), cache=tmp_path)
    ranks = {hit.document.id: rank for rank, hit in enumerate(dense.search("capital of Peru", 5), start=1)}
    assert [hit.document.id for hit in words.search("capital of Peru", 5)] == ["lima", "bern"]
    fused = {hit.document.id: hit.score for hit in HybridSearch((words, dense)).search("capital of Peru", 5)}
    assert ranks["lima"] == 1
    assert fused["lima"] == pytest.approx(1 / 61 + 1 / 61)
    assert fused["bern"] == pytest.approx(1 / 62 + 1 / (60 + ranks["bern"]))
    assert fused["kyoto"] == pytest.approx(1 / (60 + ranks["kyoto"]))


def test_a_query_that_one_backend_refuses_is_answered_by_the_other(corpus: Path, tmp_path: Path) -> None:
    words, dense = LocalIndex(corpus, cache=tmp_path), DenseIndex(corpus, Letters(), cache=tmp_path)
    both = HybridSearch((words, dense))
    assert len(both.search("!?", 5)) == 5
    with pytest.raises(ToolError):
        both.search("  ", 5)
    assert (both.effects, both.opens) == (Effects.PURE, True)
    assert both.open("lima") == words.open("lima")
    assert both.fingerprint != HybridSearch((words, dense), k=10).fingerprint


def test_tools_over_a_hybrid_conform(corpus: Path, tmp_path: Path) -> None:
    both = HybridSearch((LocalIndex(corpus, cache=tmp_path), DenseIndex(corpus, Letters(), cache=tmp_path)))
    check_tool(Search(both), arguments={"query": "Peru"})
    check_tool(OpenDocument(both), arguments={"id": "lima"})


def test_what_is_no_encoder_or_no_backend_is_refused(corpus: Path, tmp_path: Path) -> None:
    class Ragged(Letters):
        def encode(self, texts: Sequence[str], *, queries: bool) -> NDArray[np.float32]:
            return np.zeros(3, dtype=np.float32)

    assert isinstance(Letters(), TextEncoder)
    with pytest.raises(EnvConfigError, match="expected a TextEncoder"):
        DenseIndex(corpus, "model", cache=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(EnvConfigError, match=r"expected finite vectors of shape \(5, width\)"):
        DenseIndex(corpus, Ragged(), cache=tmp_path)
    with pytest.raises(EnvConfigError, match="at least two backends"):
        HybridSearch((LocalIndex(corpus, cache=tmp_path),))


def test_the_expert_plays_over_a_hybrid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    env = MultiHopSearch(
        corpus_size=120,
        hops=2,
        kinds="bridge",
        search=lambda path: HybridSearch((LocalIndex(path), DenseIndex(path, Letters()))),
    )
    agent = HopExpert(env)
    rewards = []
    for index in range(20):
        state = env.begin(env.questions.question(index))
        while state.stop is None:
            state = env.advance(state, agent.act({}, state)).state
        rewards.append(sum(term.value for term in state.terms))
    assert sum(rewards) >= 18


def checkpoint(folder: Path) -> Path:
    """A sentence-transformers checkpoint of random weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    inner = folder / "inner"
    inner.mkdir(parents=True)
    (inner / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(vocab=str(inner / "vocab.txt")).save_pretrained(inner)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(inner)
    transformer = Transformer(str(inner))
    SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu").save(str(folder / "whole"))
    return folder / "whole"


def test_a_checkpoint_of_sentence_transformers_searches(corpus: Path, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    encoder = SentenceTransformerEncoder(folder)
    rows = encoder.encode(["lima", "bern", "lima"], queries=True)
    assert (rows.shape, rows.dtype) == ((3, 16), np.float32)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(rows[0], rows[2], rtol=1e-5)
    index = DenseIndex(corpus, encoder, cache=tmp_path)
    assert len(index.search("lima", 3)) == 3
    assert SentenceTransformerEncoder(folder, query_prompt="query: ").fingerprint != encoder.fingerprint
    assert pickle.loads(pickle.dumps(encoder)).fingerprint == encoder.fingerprint


def test_a_folder_without_a_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvConfigError, match="expected the folder of a sentence-transformers checkpoint"):
        SentenceTransformerEncoder(tmp_path)
