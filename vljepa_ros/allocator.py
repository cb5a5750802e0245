"""Tunes glibc's malloc for images, models and lancedb; does nothing with another C library."""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
MMAP_THRESHOLD = 32 * 2**20  # bytes, the most that glibc takes; larger blocks are mapped as before
TRIM_THRESHOLD = 64 * 2**20  # free bytes at the end of the heap that are kept


def keep_freed_blocks() -> bool:
    """Keep freed blocks, so that the next image does not cause page faults again.

    A 640x480 image passes through half a dozen buffers of 0.9 MB. With glibc's defaults each is
    mapped and returned to the kernel for every image, and the page faults cost as much as
    everything else: 3.7 ms against 1.7 ms from process to process on a busy machine.

    Returns:
        False if the user has set another option, or with another C library.
    """
    chosen = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
    options = {_M_MMAP_THRESHOLD: MMAP_THRESHOLD, _M_TRIM_THRESHOLD: TRIM_THRESHOLD}
    return _set(options, chosen)


def share_heap() -> bool:
    """Let all threads share one heap, instead of up to eight per core.

    What a compaction of lancedb frees at the end of a heap goes back to the kernel from the first
    heap only: with two, a memory node kept up to 99 MB of free memory and grew by 40 MB an hour.
    Call it before the process has threads: heaps that exist by then are used by later threads as
    well.

    Returns:
        False if the user has set another option, or with another C library.
    """
    return _set({_M_ARENA_MAX: 1}, ("MALLOC_ARENA_MAX",))


def return_freed_blocks() -> bool:
    """Return free memory to the kernel, after work that freed much, such as a compaction.

    Returns:
        Whether memory was returned; False with another C library.
    """
    library = _glibc()
    return library is not None and bool(library.malloc_trim(0))


def _set(options: dict[int, int], chosen: tuple[str, ...]) -> bool:
    """Set options of mallopt(3) unless the user has set one of the `chosen` variables."""
    if any(name in os.environ for name in chosen):
        return False
    library = _glibc()
    if library is None:
        return False
    done = [library.mallopt(option, value) for option, value in options.items()]
    return all(done)


def _glibc() -> ctypes.CDLL | None:
    try:
        glibc = (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
        return ctypes.CDLL(None) if glibc else None
    except (AttributeError, OSError, ValueError):  # another system
        return None
