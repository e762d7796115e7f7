"""Decoded pieces of a slide, kept as long as they fit: the least recently used goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

Key = tuple[int, int, int, int]  # level, plane, row and column of the block


class BlockCache:
    """A bounded cache that several threads may use. None stands for a block that has no pixels."""

    def __init__(self, capacity: int) -> None:
        """capacity : in bytes; a block larger than all of it is not kept"""
        self.capacity = capacity
        self.used = 0
        self._blocks: OrderedDict[Key, np.ndarray | None] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> tuple[bool, np.ndarray | None]:
        """Is the block here, and the block."""
        with self._lock:
            if key not in self._blocks:
                return False, None
            self._blocks.move_to_end(key)
            return True, self._blocks[key]

    def put(self, key: Key, block: np.ndarray | None) -> None:
        """Keep a block, in place of the oldest ones."""
        size = _bytes(block)
        if size > self.capacity:
            return
        with self._lock:
            self.used += size - (_bytes(self._blocks.pop(key)) if key in self._blocks else 0)
            self._blocks[key] = block
            while self.used > self.capacity:
                self.used -= _bytes(self._blocks.popitem(last=False)[1])

    def clear(self) -> None:
        with self._lock:
            self._blocks.clear()
            self.used = 0


def _bytes(block: np.ndarray | None) -> int:
    """Of memory; an entry without pixels takes some as well."""
    return 100 + (block.nbytes if block is not None else 0)
