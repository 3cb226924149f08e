"""A pile holds what was put on it, grey or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressdefect.data import pile
from compressdefect.data.pile import Pile
from compressdefect.errors import DataError


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from([1, 3])), min_size=1, max_size=12))
def test_what_is_added_is_there_in_order(added: list[tuple[int, int]]) -> None:
    rng, stack = np.random.default_rng(0), Pile(4, pictures=len(added))
    parts = [rng.integers(0, 256, (count, channels, 4, 4), dtype=np.uint8) for count, channels in added]
    for part in parts:
        stack.add(part)
    channels = max(channels for _, channels in added)
    expected = np.concatenate([np.broadcast_to(part, (len(part), channels, 4, 4)) for part in parts])
    np.testing.assert_array_equal(stack.rows, expected)


def test_what_there_is_room_for_is_not_copied() -> None:
    stack, arrays = Pile(2, pictures=350), set()
    for _ in range(50):
        stack.add(np.zeros((7, 1, 2, 2), dtype=np.uint8))
        arrays.add(stack.rows.ctypes.data)
    assert len(arrays) == 1
    assert len(stack.rows) == 350


def test_more_than_the_memory_is_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pile.os, "sysconf", lambda name: 2**15)
    with pytest.raises(DataError, match="do not fit into memory: got about 2 GiB of pixels for 1 GiB; give a larger"):
        Pile(64, pictures=2**19)
    stack = Pile(64, pictures=2**17)
    stack.add(np.zeros((1024, 1, 64, 64), dtype=np.uint8))
    with pytest.raises(DataError, match="got about 2 GiB of pixels for 1 GiB"):
        stack.add(np.zeros((1, 3, 64, 64), dtype=np.uint8))


def test_memory_that_is_not_to_be_had_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(pile.np, "empty", refuse)
    with pytest.raises(DataError, match="do not fit into memory"):
        Pile(4, pictures=1)
