"""Secrets do not get out, however they are spelt."""

from __future__ import annotations

import asyncio
import base64
import copy
import html
import os
import pickle
import traceback
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs import EnvConfigError
from axpo_envs.backends.mcp._last_words import LastWords
from axpo_envs.backends.mcp._server import McpServer
from axpo_envs.plumbing.web import EnvironmentKey, redact, register_secret
from axpo_envs.plumbing.web.redaction import _SECRETS

SECRET = "sk-Ab+9/x&Z0=q~7Kp"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axpo_envs.plumbing.web.redaction._SECRETS", {})
    monkeypatch.setenv("MY_KEY", SECRET)
    EnvironmentKey("MY_KEY")


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SPELLINGS = {
    "plain": SECRET,
    "upper": SECRET.upper(),
    "url": quote(SECRET, safe=""),
    "url, small": quote(SECRET, safe="").lower(),
    "url, slashes kept": quote(SECRET),
    "url, every byte": "".join(f"%{byte:02X}" for byte in SECRET.encode()),
    "html": html.escape(SECRET),
    "hex": SECRET.encode().hex(),
    "spaced": " ".join(SECRET),
    "broken": "\n  ".join((SECRET[:5], SECRET[5:11], SECRET[11:])),
    "invisible": "\u200b".join(SECRET),
    "base64, broken": "\n".join((b64(SECRET)[:7], b64(SECRET)[7:])),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_key_is_found_however_it_is_spelt(spelling: str) -> None:
    assert redact(f"bad key <{spelling}>, sorry") == "bad key <[MY_KEY]>, sorry"


@given(before=st.text(max_size=7), behind=st.text(max_size=7))
def test_a_key_within_base64_is_found_at_any_place(before: str, behind: str) -> None:
    whole = f"{before}{SECRET}{behind}".encode(errors="replace")
    for encoded in (base64.b64encode(whole), base64.urlsafe_b64encode(whole)):
        shown = redact(f"Basic {encoded.decode()}")
        assert "[MY_KEY]" in shown
        left = shown.removeprefix("Basic ").split("[MY_KEY]")
        assert sum(map(len, left)) <= len(encoded) - 4 * len(SECRET) // 3 + 2


def test_other_text_is_left_as_it_is() -> None:
    text = "The sky is blue; sk-Ab was here. " * 50
    assert redact(text) == text


def test_a_short_secret_is_taken_out_as_it_is_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "k3y")
    assert redact("k3y, K3Y and k 3 y") == "[MY_KEY], K3Y and k 3 y"


def test_a_value_may_be_registered_without_a_variable() -> None:
    register_secret("the token", "0123456789")
    assert redact("it is 01234 56789") == "it is [the token]"


def test_a_key_that_travelled_is_known_where_it_arrives() -> None:
    for arrived in (pickle.loads(pickle.dumps(EnvironmentKey("MY_KEY"))), copy.deepcopy(EnvironmentKey("MY_KEY"))):
        assert arrived.read() == SECRET
    assert SECRET.encode() not in pickle.dumps(EnvironmentKey("MY_KEY"))


@pytest.mark.parametrize("value", ["s3cret 0123456", "s3cret\u00fc0123456"])
def test_no_frame_that_raises_holds_the_key(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(EnvConfigError) as caught:
        EnvironmentKey("MY_KEY").read()
    held = held_by_frames(caught.value)
    assert held
    assert not [text for text in held if "s3cret" in text]


def held_by_frames(error: BaseException) -> list[str]:
    """The local variables of the frames that an error went through, but for those of these tests."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [repr(frame.f_locals) for frame in frames if frame.f_code.co_filename != __file__]


def test_no_frame_holds_the_variables_of_a_server_that_lacks_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AXPO_MISSING", raising=False)
    server = McpServer(command=("x",), environment=("MY_KEY", "OTHER_TOKEN=s3cret-0123456", "AXPO_MISSING"))
    with pytest.raises(EnvConfigError, match="AXPO_MISSING") as caught:
        server.environment_values()
    held = held_by_frames(caught.value)
    assert held
    assert not [text for text in held if SECRET in text or "s3cret" in text]
    assert redact("it said s3cret-0123456") == "it said [OTHER_TOKEN]"


def test_the_query_of_an_address_is_a_secret() -> None:
    McpServer(url="http://127.0.0.1:1/mcp?exaApiKey=0123-4567-89&mode=fast")
    assert "0123-4567" not in redact("cannot reach /mcp?exaApiKey=0123-4567-89&mode=fast")
    assert "mode=fast" in redact("cannot reach /mcp?exaApiKey=0123-4567-89&mode=fast")


@pytest.mark.parametrize("filler", [0, 1900, 1990, 1995, 2000, 9000])
def test_last_words_do_not_tell_the_key_wherever_they_are_cut(filler: int) -> None:
    async def listen() -> str:
        words = LastWords()
        with words as file:
            os.write(file.fileno(), f"using {SECRET} ".encode() + b"." * filler + b" and died")
            await asyncio.sleep(0)
        return words.text

    text = asyncio.run(listen())
    assert text.endswith(" and died")
    assert len(text) <= 2000
    assert not [start for start in range(len(SECRET) - 5) if SECRET[start : start + 5] in text]


def test_the_registry_holds_no_value_of_a_variable() -> None:
    assert SECRET not in repr(_SECRETS)
