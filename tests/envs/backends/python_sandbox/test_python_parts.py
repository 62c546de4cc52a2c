"""The parts of the sandbox behind the `python` tool: messages, digests, paths, scratch folders on disk."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox._digests import output_digest
from axpo_envs.backends.python_sandbox._frames import Bounds
from axpo_envs.backends.python_sandbox._lines import Line
from axpo_envs.backends.python_sandbox._views import find_ways, leave_out


def test_frames_carry_objects_bytes_and_open_files() -> None:
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    frames.send(ours, {"a": [1]}, b"body", descriptors=(writing,))
    frame = frames.receive(theirs, Bounds(body=4))
    assert (frame.header, frame.body) == ({"a": [1]}, b"body")
    os.write(frame.descriptors[0], b"through")
    assert os.read(reading, 10) == b"through"
    for descriptor in (reading, writing, *frame.descriptors):
        os.close(descriptor)
    ours.close()
    with pytest.raises(EOFError):
        frames.receive(theirs)
    theirs.close()


@pytest.mark.parametrize(
    "data", [b"\xff" * 8, b"\0\0\0\x02\0\0\0\0[]", b"\0\0\0\x02\0\0\0\x05{}abcde", b"\0\0\0\x03\0\0\0\0abc"]
)
def test_frames_that_are_none_are_refused(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(data)
    with pytest.raises(frames.FrameError):
        frames.receive(theirs, Bounds(body=4))
    ours.close()
    theirs.close()


def test_digests_leave_out_addresses_and_the_scratch_folder() -> None:
    def digest(text: bytes, *, scratch: str = "/tmp/a/1", succeeded: bool = True) -> str:
        return output_digest(succeeded=succeeded, text=text, figures=(), pixels=b"", scratch=scratch)

    same = digest(b"<object at 0x7f12ab34cd56> in /tmp/a/1/f")
    assert digest(b"<object at 0x7faaaaaaaa00> in /tmp/b/22/f", scratch="/tmp/b/22") == same
    assert digest(b"0x12 at 0x12") != digest(b"0x13 at 0x12")
    assert digest(b"a") != digest(b"a", succeeded=False)


def test_ways_lead_over_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/../real")
    (tmp_path / "real" / "up").symlink_to("../other")
    (tmp_path / "other").mkdir()
    ways = find_ways([tmp_path / "link" / "inner", tmp_path / "real", tmp_path / "real" / "up"])
    assert set(ways.places) == {(tmp_path / "real").resolve(), (tmp_path / "other").resolve()}
    assert ways.links == {tmp_path.resolve() / "link": Path("real/../real")}


def test_paths_are_split_around_what_is_hidden(tmp_path: Path) -> None:
    for name in ("a/b", "a/c", "d"):
        (tmp_path / name).mkdir(parents=True)
    whole, split = leave_out([tmp_path / "a", tmp_path / "d"], [tmp_path / "a" / "b"])
    assert sorted(whole) == [tmp_path / "a" / "c", tmp_path / "d"]
    assert split == [tmp_path / "a"]


def excess(line: Line, most_bytes: int) -> str:
    return "".join(line.excess(most_bytes))


def test_a_scratch_folder_on_disk_is_measured_and_removed_however_deep(tmp_path: Path) -> None:
    line = Line(tmp_path / "scratch")
    (line.scratch / "file").write_bytes(b"x" * 5000)
    (line.scratch / "link").symlink_to("/usr")
    assert not excess(line, 1 << 20)
    assert excess(line, 4096)
    folder = os.open(line.scratch, os.O_PATH)
    for _ in range(300):
        os.mkdir("deep" * 5, dir_fd=folder)
        inner = os.open("deep" * 5, os.O_PATH, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    assert excess(line, 1 << 20)
    line.remove()
    assert not line.scratch.exists()
    assert Path("/usr").exists()
