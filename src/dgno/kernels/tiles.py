"""How fused kernels in C cut a map into tasks."""

from __future__ import annotations

import torch

TILE = 64  # columns, about: narrower tiles repeat too much at their sides, the rows of wider ones leave the cache
CACHE = 2**18  # floats, the second level of a core


def tile_width(width: int, columns: int = TILE) -> int:
    """Columns of a tile of a map so wide: about `columns` at most, all alike."""
    return -(-width // -(-width // columns))


def widest_tile(width: int, floats: int) -> int:
    """Columns of a tile of a map so wide, where every column takes so many floats of a task's buffers: as many as the
    cache of a core holds, all tiles alike."""
    most = max(CACHE // floats, 16)
    return -(-width // -(-width // most))


def strip_height(height: int, tasks: int) -> int:
    """Rows of a strip, where columns and images make so many tasks: all of them, unless threads would wait."""
    threads = torch.get_num_threads()
    strips = 1 if threads == 1 else -(-4 * threads // tasks)
    return max(min(height, 8), -(-height // strips))
