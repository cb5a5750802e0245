"""Installs the package's files under `share/vljepa_ros`, where colcon puts them too."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
SHARED = ("action", "config", "foxglove", "launch", "models", "msg", "rviz", "srv")


def shared_files() -> list[tuple[str, list[str]]]:
    """One entry for each directory, as setuptools wants its data files."""
    files: dict[str, list[str]] = {}
    for top in SHARED:
        for path in sorted((ROOT / top).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                relative = path.relative_to(ROOT)
                files.setdefault(f"share/vljepa_ros/{relative.parent}", []).append(str(relative))
    return sorted(files.items())


setup(
    packages=find_packages(include=["vljepa_ros", "vljepa_ros.*"]),
    package_data={
        "vljepa_ros.console": ["page.html"],
        "vljepa_ros.models.vl_jepa": ["paper_defaults.json"],
        "vljepa_ros.ros.builtin": ["standard_services.yaml"],
    },
    data_files=shared_files(),
)
