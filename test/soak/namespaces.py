"""What another machine sees of a robot's nodes: two network namespaces with a cable between them.

On the one, a node of the built-in runtime and a console; on the other, a program that tries the
console's port and looks for nodes by the robot's address. Each with the default discovery range
(LOCALHOST) and with SUBNET.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROBOT, OTHER = "10.9.9.1", "10.9.9.2"
CABLE = f"""
ip link set lo up
unshare -n sleep 300 & other=$!
while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ip link add here type veth peer name there netns $other || {{ kill $other; exit 77; }}
ip addr add {ROBOT}/24 dev here; ip link set here up
run="nsenter --target $other --net"
$run sh -c "ip link set lo up; ip addr add {OTHER}/24 dev there; ip link set there up"
"$1" -c "$2" "$4" 1>&2 & robot=$!
for _ in $(seq 600); do [ -e "$4" ] && break; sleep 0.2; done
ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET ROS_STATIC_PEERS={ROBOT} $run "$1" -c "$3"
kill $robot $other
"""
NODES = """
import pathlib, sys
from vljepa_ros import ros
from vljepa_ros.nodes.console_node import ConsoleNode
ros.init(args=[])
node = ros.Node("guarded", namespace="vljepa")
node.create_publisher(ros.interface("std_msgs/msg/String"), "secret", 10)
executor = ros.SingleThreadedExecutor()
executor.add_node(node)
executor.add_node(ConsoleNode())
while True:
    executor.spin_once(timeout_sec=0.2)
    pathlib.Path(sys.argv[1]).touch()
"""
LOOK = f"""
import json, socket, time
from vljepa_ros import ros
open_ports = []
for port in (8420, 22, 8000, 7400, 7410, 7411):
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(("{ROBOT}", port)) == 0:
            open_ports.append(port)
ros.init(args=[])
node = ros.Node("stranger")
executor = ros.SingleThreadedExecutor()
executor.add_node(node)
end = time.monotonic() + 12
while time.monotonic() < end:
    executor.spin_once(timeout_sec=0.2)
names = sorted(name for name, _ in node.get_node_names_and_namespaces() if name != "stranger")
topics = [topic for topic, _ in node.get_topic_names_and_types() if "secret" in topic]
print(json.dumps({{"tcp_ports": open_ports, "nodes": names, "topics": topics}}))
"""


def exposed(folder: Path) -> dict[str, Any]:
    """What the other machine has found, for each discovery range; and what is missed."""
    own = ["unshare", "--map-root-user", "--net"]
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        return {"missed": ["no unshare, nsenter or ip here: the network was not looked at"]}
    found: dict[str, Any] = {}
    missed = []
    for kind in ("LOCALHOST", "SUBNET"):
        print(f"network, {kind}", file=sys.stderr, flush=True)
        setting = f"ROS_AUTOMATIC_DISCOVERY_RANGE={kind}"
        program = [sys.executable, NODES, LOOK, str(folder / f"{kind} is up")]
        command = [*own, "env", setting, "bash", "-c", CABLE, "bash", *program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        try:
            found[kind] = json.loads(done.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            missed.append(f"network, {kind}: {done.stderr[-300:]}; asked: an answer")
            continue
        if found[kind]["tcp_ports"]:
            missed.append(f"network, {kind}: open ports {found[kind]['tcp_ports']}; asked: none")
    if "SUBNET" in found and "guarded" not in found["SUBNET"]["nodes"]:
        missed.append("network: with SUBNET the node is not found; asked: it is, as a control")
    if found.get("LOCALHOST", {}).get("nodes"):
        missed.append(
            f"network, LOCALHOST: nodes {found['LOCALHOST']['nodes']} found from another machine; "
            "asked: none"
        )
    return {**found, "missed": missed}
