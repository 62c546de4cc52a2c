import hashlib
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs import EpisodeState, ImageRef, Question, Snapshot, SnapshotError

STATE = EpisodeState(
    question=Question(id="q", prompt=("?", ImageRef(np.zeros((3, 3, 3), np.uint8))), answer="1"),
    seed=4,
    tool_states=(("count", (1, 2)),),
    digest="d",
)
SNAPSHOT = Snapshot(state=STATE, env_id="test/Env-v0", rules="r")
DATA = SNAPSHOT.to_bytes()
KEY = b"sixteen bytes or more"


def test_bytes_bring_back_an_equal_snapshot() -> None:
    again = Snapshot.from_bytes(DATA)
    assert again == SNAPSHOT
    assert again.state is not STATE
    assert again.digest == "d"
    assert pickle.loads(pickle.dumps(SNAPSHOT)) == SNAPSHOT


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_any_damaged_byte_is_noticed(place: int, change: int) -> None:
    damaged = bytearray(DATA)
    damaged[place] ^= change
    with pytest.raises(SnapshotError):
        Snapshot.from_bytes(bytes(damaged))


def test_bytes_sealed_with_a_key_are_read_with_that_key_alone() -> None:
    data = SNAPSHOT.to_bytes(key=KEY)
    assert Snapshot.from_bytes(data, key=KEY) == SNAPSHOT
    for wrong in (None, b"another key, as long"):
        with pytest.raises(SnapshotError, match="key"):
            Snapshot.from_bytes(data, key=wrong)
    with pytest.raises(SnapshotError, match="without this key"):
        Snapshot.from_bytes(DATA, key=KEY)
    with pytest.raises(ValueError, match="at least 16 bytes"):
        SNAPSHOT.to_bytes(key=b"short")


def test_a_pickled_state_is_read_only_with_a_key_or_with_trust() -> None:
    state = replace(STATE, tool_states=(("count", Path("a")),))
    snapshot = replace(SNAPSHOT, state=state)
    with pytest.raises(SnapshotError, match="as a pickle, which executes what its writer pleases"):
        Snapshot.from_bytes(snapshot.to_bytes())
    assert Snapshot.from_bytes(snapshot.to_bytes(), trust=True) == snapshot
    assert Snapshot.from_bytes(snapshot.to_bytes(key=KEY), key=KEY) == snapshot


def test_a_pickle_in_place_of_a_snapshot_is_not_executed(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    body = pickle.dumps(Attack())
    for data in (body, b"AXPO-SNAPSHOT\n" + hashlib.blake2b(body, digest_size=16).digest() + body):
        with pytest.raises(SnapshotError):
            Snapshot.from_bytes(data)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("data", [b"", b"PNG", DATA[:-1], DATA[:20], DATA + b"\x00"])
def test_what_is_no_whole_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError):
        Snapshot.from_bytes(data)
