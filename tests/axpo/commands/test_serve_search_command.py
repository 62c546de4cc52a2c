from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from axpo.cli import main


def test_a_corpus_is_served_until_the_process_is_asked_to_end(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "peru", "contents": "Peru\\nLima is the capital of Peru."}\n')
    command = [sys.executable, "-m", "axpo.cli", "serve-search", str(corpus), "--port", "0"]
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            announced = re.search(r"http://\S+/retrieve", server.stdout.readline())
            assert announced is not None
            body = json.dumps({"queries": ["capital of peru"], "topk": 1}).encode()
            with urllib.request.urlopen(announced.group(), data=body, timeout=30) as response:
                (hits,) = json.loads(response.read())["result"]
            assert [hit["id"] for hit in hits] == ["peru"]
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0


def test_a_corpus_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve-search", str(tmp_path / "none.jsonl")]) != 0
    assert "none.jsonl" in capsys.readouterr().err
