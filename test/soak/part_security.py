"""Security: hostile content in every file format, on the console and on the network.

Each check of `security.py` and `security_bags.py` runs in a process of its own beside a folder of
canaries. Judged: it ends as documented, within a minute, nothing was executed, nothing was written
or changed outside of its folder, no connection was made. What the network sees: `namespaces.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PATIENCE = 300.0  # seconds for a check; most of it is imports


def run(scale: float, folder: Path) -> dict[str, Any]:
    """Figures of the part; see `run.py`."""
    import namespaces
    import security
    import security_bags

    outcomes: dict[str, str] = {}
    missed = []
    for number, name in enumerate(security.CHECKS | security_bags.CHECKS):
        print(name, file=sys.stderr, flush=True)
        outcomes[name], wrong = check(name, folder / str(number))
        missed += [f"{name}: {one}; asked: nothing of the kind" for one in wrong]
    network = namespaces.exposed(folder)
    missed += network.pop("missed")
    return {"checks": outcomes, "network": network, "dependencies": audit(), "missed": missed}


def check(name: str, folder: Path) -> tuple[str, list[str]]:
    """What came of a check, and what is wrong."""
    import security

    for place in ("inside", "outside", "home"):
        (folder / place).mkdir(parents=True)
    (folder / "outside" / security.CANARY).write_text("untouched\n")
    before = contents(folder)
    command = [sys.executable, HERE / "security.py", name, folder]
    home = str(folder / "inside")
    environment = os.environ | {"HOME": home, "XDG_CACHE_HOME": home, "HF_HUB_OFFLINE": "1"}
    environment |= {"TMPDIR": home, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return f"not done after {PATIENCE:g} s", [f"not done after {PATIENCE:g} s"]
    if done.returncode:
        return "failed", [f"exit code {done.returncode}: {done.stderr.strip()[-400:]}"]
    result = json.loads(done.stdout.splitlines()[-1])
    after = contents(folder)
    made = [f"{path} appeared" for path in after.keys() - before.keys()]
    changed = [f"{path} changed" for path, digest in before.items() if after.get(path) != digest]
    own = [one for one in made if not one.startswith(("outside/victim", "outside/vision"))]
    own = [one for one in own if not one.startswith("outside/weights")]  # the check's own targets
    return result["outcome"], [*result["touched"], *own, *changed]


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file outside of where the product may write."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for place in ("outside", "home")
        for path in (folder / place).rglob("*")
        if path.is_file()
    }


def audit() -> dict[str, Any]:
    """pip-audit on what is installed; where the advisories are out of reach, the list itself."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        listed = json.loads(done.stdout)["dependencies"]
        found = [one for one in listed if "skip_reason" not in one]
    except (subprocess.TimeoutExpired, ValueError, LookupError):
        found = []
    if found:
        return {"audited": len(found), "vulnerable": [one for one in found if one["vulns"]]}
    listed = (HERE.parents[1] / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in listed if "==" in line]
    return {"audited": 0, "unaudited": len(pins), "reason": "no advisories, or no pip-audit"}
