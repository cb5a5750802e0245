"""Record what only a real ROS 2 shows, as lines of a table; not a test that pytest collects.

In a shell with a sourced ROS 2 and this package built by colcon, without torch:

    python test/system/record_on_ros.py WORKSPACE

WORKSPACE is where colcon built it: `colcon test` runs there, with launch_testing's plugin.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
NODE = "/vljepa/perception_node"
EARLY = 20  # Ctrl-C within half a second of the start of a node
REPEATS = 3  # of the test that lost /rosout now and then
WATCHED = 30.0  # seconds for which images come
SIZE = (720, 1280)
RELIABLE = "qos_overrides./camera/image_raw.subscription.reliability:=reliable"
CAMERA = f"""
import numpy as np, rclpy, time
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("camera")
qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
publisher = node.create_publisher(Image, "/camera/image_raw", qos)
image = Image(height={SIZE[0]}, width={SIZE[1]}, encoding="rgb8", step={3 * SIZE[1]})
image.data.frombytes(np.random.default_rng(0).integers(0, 255, {3 * SIZE[0] * SIZE[1]}, "u1"))
def publish():
    image.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(image)
node.create_timer(1 / 30, publish)
rclpy.spin(node)
"""


def output(*command: str, where: Path = ROOT, timeout: float = 3600.0) -> tuple[int, str]:
    """Exit code and all that a command printed."""
    done = subprocess.run(
        command, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def start_node(*arguments: str) -> subprocess.Popen[str]:
    """The installed script of perception_node."""
    scripts = [
        Path(prefix) / "lib/vljepa_ros/perception_node"
        for prefix in os.environ["AMENT_PREFIX_PATH"].split(os.pathsep)
    ]
    command = [sys.executable, next(path for path in scripts if path.is_file()), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )  # fmt: skip


def colcon_test(workspace: Path) -> str:
    """`colcon test` where torch is missing."""
    output("colcon", "test", "--packages-select", "vljepa_ros", "--merge-install", where=workspace)
    code, text = output("colcon", "test-result", "--all", where=workspace)
    lines = [line for line in text.splitlines() if "tests" in line and ".xunit.xml" in line]
    return f"colcon test-result ends with {code}: {'; '.join(lines[-4:]) or text[-300:]}"


def bad_images() -> str:
    """The tests of bad images, several times."""
    runs = [
        output(sys.executable, "-m", "pytest", "-q", "test/nodes/test_bad_images.py")[1]
        for _ in range(REPEATS)
    ]
    return "; ".join(run.strip().splitlines()[-1] for run in runs)


def shutdown_advice() -> str:
    """What a question is answered after `ros2 lifecycle set NODE shutdown`."""
    node = start_node()
    try:
        code, text = 1, ""
        end = time.monotonic() + 60.0
        while code != 0 and time.monotonic() < end:
            code, text = output("ros2", "lifecycle", "set", NODE, "shutdown", timeout=60.0)
        request = "{texts: [a cup]}"
        service = ("/vljepa/encode_text", "vljepa_ros/srv/EncodeText", request)
        reply = output("ros2", "service", "call", *service, timeout=60.0)[1]
    finally:
        node.send_signal(signal.SIGINT)
        node.communicate(timeout=30.0)
    said = re.search(r"message='([^']*)'", reply)
    return f"{text.strip()}; then: {said[1] if said else reply[-300:]}"


def early_interrupts() -> str:
    """Ctrl-C to the script of a node, within half a second of its start."""
    clean, rest = 0, []
    for turn in range(EARLY):
        delay = 0.05 + 0.45 * random.Random(turn).random()
        process = start_node()
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        text = process.communicate(timeout=60.0)[0]
        if process.returncode == 0 and "Traceback" not in text:
            clean += 1
        else:
            rest.append(f"after {delay:.3f} s code {process.returncode}: {text.strip()[-200:]!r}")
    return "; ".join([f"{clean} of {EARLY} end with 0 and without a traceback", *rest])


def large_images(*parameters: str) -> str:
    """1280x720 at 30 Hz: what perception_node reports of a camera, and the advice it logs."""
    camera = subprocess.Popen([sys.executable, "-c", CAMERA])
    arguments = [part for text in parameters for part in ("-p", text)]
    node = start_node("--ros-args", "-p", "cameras:=[camera]", *arguments)
    try:
        time.sleep(WATCHED)
        echo = ("ros2", "topic", "echo", "--once", "/diagnostics", "--field", "status")
        status = output(*echo, timeout=60.0)[1]
    finally:
        node.send_signal(signal.SIGINT)
        log = node.communicate(timeout=30.0)[0]
        camera.kill()
    said = [line for line in log.splitlines() if "lost" in line or "receive buffer" in line]
    level = re.findall(r"message='([^']*)'", status)
    return f"diagnostics: {'; '.join(level)[:300]}; log: {said[-1][-500:] if said else 'none'}"


def main() -> None:
    """Print a line for each."""
    workspace = Path(sys.argv[1]).resolve()
    # What a shell starts in the background ignores SIGINT, and its children with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    steps: dict[str, Callable[[], str]] = {
        "Ctrl-C within half a second of the start": early_interrupts,
        "after lifecycle shutdown": shutdown_advice,
        "1280x720 at 30 Hz, best effort, default receive buffer": large_images,
        "the same, with the remedy of the log": lambda: large_images(RELIABLE),
        "tests of bad images": bad_images,
        "colcon test without torch": lambda: colcon_test(workspace),
    }
    print("| what | result |\n|---|---|", flush=True)
    for name, step in steps.items():
        print(f"| {name} | {step()} |", flush=True)


if __name__ == "__main__":
    main()
