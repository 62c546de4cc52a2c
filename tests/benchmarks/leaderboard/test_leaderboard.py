from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from axpo.records.evaluation_folder import EvaluationFolder
from axpo.records.evaluation_records import (
    AskedQuestion,
    BenchmarkProvenance,
    EvaluatedRollout,
    Judged,
    Provenance,
    SaidTurn,
)
from axpo.settings.config import ConfigError
from axpo_benchmarks.cli import main
from axpo_benchmarks.leaderboard import (
    Entry,
    Leaderboard,
    entry_of,
    markdown,
    read_board,
    read_published,
    write_board,
)
from axpo_envs.types import StopReason

PAPER = Path(__file__).parents[3] / "benchmarks" / "paper.json"


def evaluated(path: Path, right: tuple[bool, ...], *, scorer: str = "s", benchmark: str = "v-star") -> EvaluationFolder:
    asked = BenchmarkProvenance(
        slice="full",
        questions=1,
        fingerprint="f",
        differences=(),
        scorer=scorer,
        judge=None,
        prompts={"tools": "p"},
        tools={"tools": ("image_zoom_in",)},
        sites=(),
    )
    protocol = {"preset": "paper", "samples": len(right)}
    folder = EvaluationFolder(path)
    folder.begin(
        Provenance(axpo="0.1.0", model=path.name, revision="r1", protocol=protocol, benchmarks={benchmark: asked})
    )
    folder.write_questions(
        benchmark, (AskedQuestion(id="a", part="", cluster="a", kinds={}, text="?", images=1, answer="A"),)
    )
    for sample, own in enumerate(right):
        rollout = EvaluatedRollout(
            question="a",
            sample=sample,
            stop=StopReason.ANSWERED,
            turns=(SaidTurn(text="<answer>A</answer>"),),
            judged=Judged(outcome="right" if own else "wrong", reason="said", score=float(own), cut=False),
            written=1,
            read=1,
            reread=0,
            seconds=0.1,
        )
        folder.add(benchmark, "tools", rollout)
    return folder


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    return entry_of(evaluated(tmp_path / "m", (True, False, False, False)), added=date(2026, 1, 2), note="tried")


def test_an_entry_says_all_that_it_takes_to_compare_it(entry: Entry) -> None:
    assert (entry.name, entry.model, entry.revision, entry.axpo, entry.note) == ("m", "m", "r1", "0.1.0", "tried")
    scored = entry.benchmarks["v-star"]
    assert (scored.asked.scorer, scored.asked.prompts, scored.asked.fingerprint) == ("s", {"tools": "p"}, "f")
    assert (scored.rollouts["tools"], scored.missing["tools"]) == (4, 0)
    assert scored.metrics["tools"]["pass1"]["value"] == 0.25


def test_a_board_comes_back_from_its_file(entry: Entry, tmp_path: Path) -> None:
    board = Leaderboard(entries=(entry, replace(entry, name="other")))
    write_board(tmp_path / "board.json", board)
    assert read_board(tmp_path / "board.json") == board


def test_an_entry_replaces_the_one_of_its_name_where_it_stands(entry: Entry) -> None:
    board = Leaderboard().with_entry(entry).with_entry(replace(entry, name="other"))
    again = board.with_entry(replace(entry, note="anew"))
    assert [(own.name, own.note) for own in again.entries] == [("m", "anew"), ("other", "tried")]


def test_the_best_stands_first_and_other_rules_are_marked(entry: Entry, tmp_path: Path) -> None:
    best = entry_of(evaluated(tmp_path / "best", (True,) * 4), added=entry.added)
    other = entry_of(evaluated(tmp_path / "other", (True, True, False, False), scorer="t"), added=entry.added)
    lines = markdown(Leaderboard(entries=(entry, other, best))).splitlines()
    assert lines[2:5] == [
        "| best | 100.0 / 100.0 | 100.0 / 100.0 | 1 |",
        "| other | 50.0 / 100.0≠ | 50.0 / 100.0 | 1 |",
        "| m | 25.0 / 100.0 | 25.0 / 100.0 | 1 |",
    ]


def test_a_model_that_lacks_a_benchmark_has_no_average_and_ranks_by_what_it_has(entry: Entry, tmp_path: Path) -> None:
    wide = replace(
        entry,
        name="wide",
        benchmarks={
            **entry.benchmarks,
            **entry_of(evaluated(tmp_path / "w", (True,) * 4, benchmark="mathvision"), added=entry.added).benchmarks,
        },
    )
    lines = markdown(Leaderboard(entries=(entry, wide))).splitlines()
    assert lines[2:4] == [
        "| wide | 100.0 / 100.0 | 25.0 / 100.0 | 62.5 / 100.0 | 1 |",
        "| m | - | 25.0 / 100.0 | - | 1 |",
    ]


def test_published_figures_stand_apart_from_what_was_measured(entry: Entry) -> None:
    text = markdown(Leaderboard(entries=(entry,)), read_published(PAPER))
    measured, published = text.split("not measured here:")
    assert "62.3" not in measured
    assert "| Qwen3-VL-8B-Thinking, SFT + AXPO | main | 62.3 / 75.8 |" in published


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "expected a leaderboard"),
        ('{"format": 2, "entries": []}', "format"),
        ('{"format": 1, "entries": [{"name": "x"}]}', "entries.0.model"),
    ],
)
def test_what_is_no_board_is_refused_with_its_place(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "board.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=problem):
        read_board(path)


def test_two_entries_of_one_name_are_refused(entry: Entry, tmp_path: Path) -> None:
    write_board(tmp_path / "board.json", Leaderboard(entries=(entry, entry)))
    with pytest.raises(ConfigError, match="got 'm' twice"):
        read_board(tmp_path / "board.json")


def test_the_command_begins_a_board_and_adds_to_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = tmp_path / "board.json"
    for name in ("one", "two"):
        evaluated(tmp_path / name, (True, False, False, False))
        assert main(["leaderboard", str(board), "--add", str(tmp_path / name), "--name", f"model {name}"]) == 0
    assert [own.name for own in read_board(board).entries] == ["model one", "model two"]
    assert "| model two |" in capsys.readouterr().out
    assert main(["leaderboard", str(tmp_path / "none.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err
