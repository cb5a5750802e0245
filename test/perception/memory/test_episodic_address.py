"""A memory at an address: `file://` goes the way that `s3://` goes; and after upkeep."""

from __future__ import annotations

from pathlib import Path

import pytest
from memory_rows import DIM, MODEL, SECOND, row

from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory import episodic
from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings
from vljepa_ros.perception.memory.search import MomentQuery
from vljepa_ros.perception.memory.store import (
    MemoryMissingError,
    MemoryStore,
    OtherModelError,
    open_store,
)
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


def test_after_upkeep_searches_find_a_store_that_is_open_and_has_no_old_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[MemoryStore] = []

    def counting(*where: object, **options: object) -> MemoryStore:
        opened.append(open_store(*where, **options))  # type: ignore[arg-type]
        return opened[-1]

    returned: list[bool] = []
    monkeypatch.setattr(episodic, "open_store", counting)
    monkeypatch.setattr(episodic, "return_freed_blocks", lambda: returned.append(True))
    memory = EpisodicMemory(MemorySettings(str(tmp_path / "robot"), MODEL, DIM))
    memory.remember(row(80.0))
    assert memory.flush(60.0)
    assert len(opened) == 1
    memory.tidy()
    assert len(opened) == 2
    assert returned  # the soak grew by 165 MiB an hour: freed blocks and caches stayed
    assert memory.find(MomentQuery("x"), row(80.0).vector, Calibration())[0].stamp == 80 * SECOND
    memory.remember(row(90.0))
    assert memory.close(60.0)
    assert len(opened) == 2
    assert opened[1].count() == 2
