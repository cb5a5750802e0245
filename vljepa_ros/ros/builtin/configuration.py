"""How Cyclone DDS is configured: discovery, fragments, buffers."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

RECEIVE_BUFFER_BYTES = 8 * 2**20  # asked of the kernel: two 1280x720 rgb8 images and more
LARGEST_MESSAGE_BYTES = 64 * 2**20
"""More is dropped, with a line in the log: Cyclone ends the process when it finds no memory for it.
A 20 megapixel rgb8 image has 60 MB."""
DISCOVERY_VARIABLE = "ROS_AUTOMATIC_DISCOVERY_RANGE"


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
    peer_xml = "".join(f'<Peer Address="{escape(p.strip())}"/>' for p in peers)
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
        f"<MaxSampleSize>{LARGEST_MESSAGE_BYTES}B</MaxSampleSize>"
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
