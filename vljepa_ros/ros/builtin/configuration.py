"""How Cyclone DDS is configured, and the memory of the process: discovery, fragments, buffers."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from xml.sax.saxutils import quoteattr

RECEIVE_BUFFER_BYTES = 8 * 2**20  # asked of the kernel: two 1280x720 rgb8 images and more
DISCOVERY_VARIABLE = "ROS_AUTOMATIC_DISCOVERY_RANGE"

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MMAP_THRESHOLD = 32 * 2**20  # the most that glibc takes; larger blocks are mapped as before
_TRIM_THRESHOLD = 64 * 2**20  # free bytes at the end of the heap that are kept
_USER_SETTINGS = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


class DdsConfigurationError(ValueError):
    """An environment variable has a value that is not allowed."""


def discovery_range() -> str:
    """LOCALHOST unless the environment opens it (ROS 2's variable, whose default is SUBNET)."""
    value = os.environ.get(DISCOVERY_VARIABLE, "").upper() or "LOCALHOST"
    if value == "SYSTEM_DEFAULT":
        value = "SUBNET"
    if value not in ("LOCALHOST", "SUBNET"):
        raise DdsConfigurationError(
            f"{DISCOVERY_VARIABLE}={value}: allowed are LOCALHOST (default) and SUBNET"
        )
    return value


def configuration() -> str:
    """Cyclone's configuration as XML, for the discovery range of the environment."""
    local = discovery_range() == "LOCALHOST"
    peers = ["localhost"] if local else []
    peers += [p for p in os.environ.get("ROS_STATIC_PEERS", "").split(";") if p.strip()]
    peer_xml = "".join(f"<Peer Address={quoteattr(p.strip())}/>" for p in peers)
    # Large fragments where nothing is lost between two sockets of one host: at the stock size of
    # 1.3 kB an image is 700 datagrams, more than a stock receive buffer holds.
    general = (
        '<Interfaces><NetworkInterface address="127.0.0.1"/></Interfaces>'
        "<AllowMulticast>false</AllowMulticast>"
        "<MaxMessageSize>65500B</MaxMessageSize><FragmentSize>65000B</FragmentSize>"
        if local
        else ""
    )
    return (
        f"<CycloneDDS><Domain><General>{general}</General>"
        "<Discovery><ParticipantIndex>auto</ParticipantIndex>"
        f"<MaxAutoParticipantIndex>32</MaxAutoParticipantIndex><Peers>{peer_xml}</Peers>"
        "</Discovery><Internal>"
        f'<SocketReceiveBufferSize min="0B" max="{RECEIVE_BUFFER_BYTES}B"/>'
        "<Watermarks><WhcHigh>256MB</WhcHigh><WhcHighInit>256MB</WhcHighInit>"
        "<WhcAdaptive>false</WhcAdaptive></Watermarks>"
        "</Internal></Domain></CycloneDDS>"
    )


def receive_buffer_limit() -> int | None:
    """Bytes that the kernel grants a receive buffer at most; None if that cannot be read."""
    try:
        return min(RECEIVE_BUFFER_BYTES, int(Path("/proc/sys/net/core/rmem_max").read_text()))
    except (OSError, ValueError):
        return None


def keep_freed_blocks() -> bool:
    """Have glibc keep freed blocks, so that the next image does not fault its pages in anew.

    A 640x480 image passes through half a dozen buffers of 0.9 MB on its way. With glibc's defaults
    each is mapped and returned to the kernel for every image, and the page faults cost as much as
    all the rest: 3.7 ms against 1.7 ms from process to process on a busy machine.

    Returns:
        Whether that was done: not if the user chose otherwise, nor with another libc.
    """
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
