"""Every command of docs/losing-tools.md does what the page says, on its own rollouts and on real files."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from axpo.cli import main

HERE = Path(__file__).parent
PAGE = (HERE.parents[2] / "docs" / "losing-tools.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if not kind for line in block.splitlines() if line.startswith("axpo ")]


def test_the_commands_of_the_page_do_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (made,) = (block for kind, block in BLOCKS if kind == "python")
    exec(compile(made, "losing-tools.md", "exec"), {})
    (tmp_path / "completions").mkdir()
    shutil.copy(HERE / "trl_completions.parquet", tmp_path / "completions" / "completions_00001.parquet")
    shutil.copy(HERE / "verifiers_traces.jsonl", tmp_path / "traces.jsonl")
    capsys.readouterr()
    said = []
    for command in COMMANDS:
        wanted = 3 if "# exits with 3" in command else 0
        assert main(shlex.split(command, comments=True)[1:]) == wanted, command
        said.append(" ".join(capsys.readouterr().out.split()))
    (shown,) = (block for kind, block in BLOCKS if kind == "text")
    assert len(COMMANDS) == 6
    assert " ".join(shown.split()) in said[0]
    assert (tmp_path / "audit.html").is_file()


def test_the_sentences_that_the_page_explains_are_those_that_audits_say() -> None:
    source = Path(main.__code__.co_filename).with_name("audit") / "verdict.py"
    text = re.sub(r'"\s*f?"', "", source.read_text(encoding="utf-8"))
    table = PAGE.partition("| it says | it means |")[2].partition("\n\n")[0]
    said = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert len(said) == 9
    assert [part for sentence in said for part in sentence.split("...") if part.strip() not in text] == []
