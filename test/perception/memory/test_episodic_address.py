"""A memory at an address instead of in a directory: `file://` goes the way that `s3://` goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from memory_rows import DIM, MODEL, SECOND, row

from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings
from vljepa_ros.perception.memory.search import MomentQuery
from vljepa_ros.perception.memory.store import MemoryMissingError, OtherModelError, open_store
from vljepa_ros.perception.memory.upkeep import Retention


def test_rows_go_to_an_address_and_are_found_there(tmp_path: Path) -> None:
    address = f"file://{tmp_path}/fleet/robot_7"
    with pytest.raises(MemoryMissingError, match="no memory at 'file://"):
        open_store(address, MODEL, DIM)
    memory = EpisodicMemory(
        MemorySettings(address, MODEL, DIM, retention=Retention(max_age=50.0, max_bytes=1))
    )
    for second in range(100):
        memory.remember(row(float(second)))
    assert memory.flush(60.0)
    memory.tidy()  # age is forgotten; the size of an address is not known and no limit
    assert memory.close(60.0)
    store = open_store(address, MODEL, DIM)
    assert store.count() == 51
    assert store.disk_bytes() == 0
    assert store.nearest(row(80.0).vector, 1)[0].row.stamp == 80 * SECOND
    with pytest.raises(OtherModelError, match=r"'file://.*holds embeddings of model"):
        open_store(address, "other-1", DIM)
    again = EpisodicMemory(MemorySettings(address, MODEL, DIM))
    assert again.find(MomentQuery("x"), row(80.0).vector, Calibration())[0].stamp == 80 * SECOND
    assert again.close(60.0)
