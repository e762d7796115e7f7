"""Memory that is freed stays with the process, so that the next tile or batch gets it without asking the system.

By default glibc gives large blocks back at once, and the system clears every page of the next ones: that is most of the
system's time of a tile, for a peak that is lower by about a quarter (`benchmarks/allocator.py`). Elsewhere nothing
is changed.
"""

from __future__ import annotations

import ctypes
import functools

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # M_ of malloc.h
KEPT = 2**30  # bytes; larger blocks than this still come from the system one by one
NEVER = -1


@functools.cache
def keep_freed_memory() -> bool:
    """Set it for this process; True where that is possible."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = ((MMAP_THRESHOLD, KEPT), (TRIM_THRESHOLD, NEVER), (TOP_PAD, 2**26))
    return all([bool(mallopt(ctypes.c_int(name), ctypes.c_int(value))) for name, value in settings])
