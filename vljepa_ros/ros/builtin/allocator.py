"""Memory for images: keep freed blocks, so that the next image does not fault its pages in anew.

A 640x480 image passes through half a dozen buffers of 0.9 MB on its way. With glibc's defaults each
is mapped and returned to the kernel for every image, and the page faults cost as much as all the
rest: 3.7 ms against 1.7 ms from process to process on a busy machine.
"""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MMAP_THRESHOLD = 32 * 2**20  # the most that glibc takes; larger blocks are mapped as before
_TRIM_THRESHOLD = 64 * 2**20  # free bytes at the end of the heap that are kept
_USER_SETTINGS = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def keep_freed_blocks() -> bool:
    """Tell glibc to; whether it was told. Not where the user chose, nor with another libc."""
    if any(name in os.environ for name in _USER_SETTINGS):
        return False
    try:
        if not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            return False
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, ValueError):  # another system
        return False
    done = [
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD),
        mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD),
    ]
    return all(done)
