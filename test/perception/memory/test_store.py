from __future__ import annotations

import dataclasses
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from memory_rows import DIM, ENVIRONMENT, MODEL, SECOND, row, vector

from vljepa_ros.perception.memory.row import SEGMENT, Pose
from vljepa_ros.perception.memory.store import (
    NO_LANCEDB,
    Filter,
    MemoryMissingError,
    MemoryStoreError,
    OtherModelError,
    QueryError,
    open_store,
)


def test_row_comes_back_as_it_was(tmp_path: Path) -> None:
    pose = Pose((1.5, -2.0, 0.25), (0.0, 0.0, 0.6, 0.8), "map")
    written = row(
        5.0,
        kind=SEGMENT,
        text="the arm lifts the red mug",
        label="pick up",
        label_score=0.75,
        source="kitchen's bag",
        pose=pose,
        thumbnail=b"\xff\xd8jpeg",
        thumbnail_frames=4,
    )
    open_store(tmp_path, MODEL, DIM, create=True).append([written, row(9.0)])
    first, second = open_store(tmp_path, MODEL, DIM).rows()
    assert np.abs(first.vector - written.vector).max() < 1e-3  # kept as fp16
    same = {"vector": written.vector}
    assert dataclasses.replace(first, **same) == dataclasses.replace(written, **same)
    assert second.pose is None
    assert second.thumbnail is None


def test_nearest_is_exact_and_best_first(tmp_path: Path) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    rows = [row(float(i)) for i in range(200)]
    store.append(rows)
    query = vector(999)
    cosines = np.stack([r.vector for r in rows]) @ query
    hits = store.nearest(query, 10)
    assert [hit.row.stamp for hit in hits] == [rows[i].stamp for i in np.argsort(-cosines)[:10]]
    assert hits[0].similarity == pytest.approx(cosines.max(), abs=2e-3)


def test_filters_by_camera_source_kind_and_time(tmp_path: Path) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    store.append([row(float(i)) for i in range(10)])
    store.append([row(float(i), camera="o'hara", source="bag") for i in range(10)])
    store.append([row(3.0, kind=SEGMENT, start=0, end=9 * SECOND)])
    assert store.cameras() == ["front", "o'hara"]
    assert store.count(Filter(cameras=("o'hara",))) == 10
    assert store.count(Filter(source="bag", kind=SEGMENT)) == 0
    # rows overlap [4.5 s, 6 s] from 5 s (its start is 4 s) to 7 s (its start is 6 s)
    which = Filter(cameras=("front",), start=round(4.5 * SECOND), end=6 * SECOND)
    stamps = {hit.row.stamp // SECOND for hit in store.nearest(vector(0), 20, which)}
    assert stamps == {3, 5, 6, 7}


def test_camera_name_is_no_sql(tmp_path: Path) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    store.append([row(1.0)])
    assert store.count(Filter(cameras=("' OR '1'='1",))) == 0


def test_other_model_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    open_store(tmp_path, MODEL, DIM, create=True).append([row(1.0)])
    with pytest.raises(
        OtherModelError, match=r"holds embeddings of model 'nano-0123abcd' \(32-d\)"
    ):
        open_store(tmp_path, "nano-ffff", DIM, create=True)
    with pytest.raises(OtherModelError, match=r"left as it is; .*model:=nano, .*memory reindex"):
        open_store(tmp_path, MODEL, 64)
    assert open_store(tmp_path).count() == 1
    assert open_store(tmp_path).model_id == MODEL


def test_missing_memory_is_not_created_by_reading(tmp_path: Path) -> None:
    with pytest.raises(MemoryMissingError, match="no memory at"):
        open_store(tmp_path / "none", MODEL, DIM)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera": ""}, "camera has no name"),
        ({"kind": "clip"}, "allowed: segment, sample"),
        ({"start": 9 * SECOND}, "not in this order"),
        ({"vector": vector(1, 64)}, r"shape \(64,\)"),
        ({"vector": np.zeros(DIM, np.float32)}, "L2 norm is 0"),
        ({"vector": np.full(DIM, np.nan, np.float32)}, "L2 norm is nan"),
    ],
)
def test_wrong_row_is_refused_with_its_batch(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    with pytest.raises(ValueError, match=message):
        store.append([row(1.0), row(2.0, **changes)])
    assert store.count() == 0


def test_wrong_query_vector(tmp_path: Path) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    with pytest.raises(QueryError, match="shape"):
        store.nearest(vector(1, 8), 3)


def test_damaged_manifest_is_one_clear_error(tmp_path: Path) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    store.append([row(1.0)])
    for manifest in (tmp_path / "moments.lance" / "_versions").iterdir():
        manifest.write_bytes(b"rubbish")
    with pytest.raises(MemoryStoreError, match=f"cannot open the memory at '{tmp_path}'") as error:
        open_store(tmp_path, MODEL, DIM, create=True)
    assert ".rs" not in str(error.value), "lines of somebody else's sources help no user"


def test_damaged_data_is_one_clear_error(tmp_path: Path) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    store.append([row(1.0)])
    for data in (tmp_path / "moments.lance" / "data").iterdir():
        data.write_bytes(data.read_bytes()[:40])
    with pytest.raises(MemoryStoreError, match="cannot search"):
        open_store(tmp_path, MODEL, DIM).nearest(vector(1), 3)


def test_versions_gone_is_damage_not_a_new_store(tmp_path: Path) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    store.append([row(1.0)])
    for manifest in (tmp_path / "moments.lance" / "_versions").iterdir():
        manifest.unlink()
    with pytest.raises(MemoryStoreError):
        open_store(tmp_path, MODEL, DIM, create=True)


def test_without_its_newest_commit_a_store_is_what_it_was_before(tmp_path: Path) -> None:
    """What doc/troubleshooting.md says of a power cut in the middle of a commit."""
    store = open_store(tmp_path, MODEL, DIM, create=True)
    for seconds in (1.0, 2.0):
        store.append([row(seconds)])
    newest = min((tmp_path / "moments.lance" / "_versions").glob("*.manifest"))
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.raises(MemoryStoreError, match="cannot open"):
        open_store(tmp_path, MODEL, DIM)
    newest.unlink()
    assert open_store(tmp_path, MODEL, DIM).count() == 1


def test_foreign_database_is_refused(tmp_path: Path) -> None:
    import lancedb

    lancedb.connect(tmp_path).create_table("moments", [{"x": 1}])
    with pytest.raises(MemoryStoreError, match="not a memory that this version can read"):
        open_store(tmp_path, MODEL, DIM)


def test_location_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for create in (True, False):
        with pytest.raises(MemoryStoreError, match=r"cannot open .*: it is not a directory"):
            open_store(tmp_path / "file", MODEL, DIM, create=create)


def _limit_file_size() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))


def test_full_disk_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """A file that may not grow stands for a full disk: the write fails in the middle."""
    open_store(tmp_path, MODEL, DIM, create=True).append([row(1.0)])
    code = (
        "import sys\n"
        "from memory_rows import row, MODEL, DIM\n"
        "from vljepa_ros.perception.memory.store import MemoryStoreError, open_store\n"
        f"store = open_store({str(tmp_path)!r}, MODEL, DIM)\n"
        "try:\n"
        "    store.append([row(float(i)) for i in range(2000)])\n"
        "except MemoryStoreError as error:\n"
        "    print(error)\n"
        "print(store.count())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=180,
        env=ENVIRONMENT,
        preexec_fn=_limit_file_size,
    )
    assert "cannot write to the memory" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "1"
    assert open_store(tmp_path, MODEL, DIM).count() == 1


@pytest.mark.parametrize(
    ("importing", "says"),
    [
        ("raise ModuleNotFoundError(name='lancedb')", NO_LANCEDB),
        (
            "raise ImportError('pyarrow requires NumPy 2.0 or newer, found 1.26.4')",
            "LanceDB is installed, and cannot be imported: pyarrow requires NumPy 2.0 or newer, "
            "found 1.26.4; beside numpy 1 it needs: pip install 'pyarrow<23'",
        ),
    ],
)
def test_without_a_usable_lancedb_one_line_says_why(
    tmp_path: Path, importing: str, says: str
) -> None:
    (tmp_path / "lancedb.py").write_text(importing)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from vljepa_ros.perception.memory.store import MemoryStoreError, open_store\n"
        "try: open_store('x', 'm', 4, create=True)\n"
        "except MemoryStoreError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=180, env=ENVIRONMENT
    )
    assert done.stdout.strip() == says


def test_importing_the_memory_imports_no_lancedb() -> None:
    code = (
        "import sys\n"
        "import vljepa_ros.perception.memory.episodic\n"
        "print(sorted({'lancedb', 'pyarrow', 'torch'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=180, env=ENVIRONMENT
    )
    assert done.stdout.strip() == "[]"
