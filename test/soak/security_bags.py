"""Hostile bags, memories and pages; see `security.py`."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import shutil
import sqlite3
import struct
import sys
from pathlib import Path
from typing import Any

from security import CANARY, EVIL, Check, own_hands, refused, storage

TRAVERSAL = "../../outside/x"


def bombs(folder: Path) -> str:
    """Messages, chunks and files of zeros: kilobytes that expand to gigabytes."""
    from backports import zstd
    from colour_bag import FRONT, images, write_messages
    from lz4.frame import LZ4FrameCompressor

    from vljepa_ros.perception.bags.reading import BagError, BagReader

    packer = zstd.ZstdCompressor()
    zeros = b"".join(packer.compress(bytes(1 << 24)) for _ in range(128)) + packer.flush()
    lz4 = LZ4FrameCompressor()
    slow = lz4.begin() + b"".join(lz4.compress(bytes(1 << 22)) for _ in range(128)) + lz4.flush()
    inside, said = folder / "inside", []
    message = write_messages(inside / "message", {FRONT: [*images(3), (2**62, zeros)]})
    chunks = {}
    for kind, data in ((b"zstd", zeros), (b"lz4", slow)):
        body = struct.pack("<QQQI", 0, 2**62, 1 << 31, 0) + struct.pack("<I", len(kind)) + kind
        body += struct.pack("<Q", len(data)) + data
        chunks[kind] = b"\x06" + struct.pack("<Q", len(body)) + body
    good = storage(folder).parent
    mcap = write_messages(inside / "mcap", {FRONT: images(3)}, storage="mcap")
    (file,) = mcap.glob("*.mcap")
    whole = file.read_bytes()
    at = whole.rindex(b"\x0f\x04\0\0\0\0\0\0\0")  # before the end of the data
    file.write_bytes(whole[:at] + chunks[b"zstd"] * 3 + chunks[b"lz4"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for bag in (message, mcap, good):
        with contextlib.suppress(BagError), BagReader(bag) as reader:
            count = sum(1 for _ in reader.messages(list(reader.connections)))
            said.append(f"{count} messages{'; ' + reader.problem[-60:] if reader.problem else ''}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    assert grown < 900, f"{grown} MiB for kilobytes: {said}"
    return f"{' | '.join(said)}; {grown} MiB at most, of 2 GiB"


def names_in_metadata(folder: Path) -> str:
    """A metadata.yaml that names files elsewhere, and links among the storage files."""
    from vljepa_ros.perception.bags.reading import BagError, BagReader

    bag, victim = folder / "inside" / "bag", folder / "outside" / "victim.db3"
    bag.mkdir()
    with own_hands():
        shutil.copy(storage(folder), victim)
    names = [TRAVERSAL, str(victim), "/dev/zero", "\0", "x" * 9000]
    content = {"rosbag2_bagfile_information": {"relative_file_paths": names}}
    (bag / "metadata.yaml").write_text(json.dumps(content))
    with refused(BagError):
        BagReader(bag).__enter__()
    with own_hands():
        (bag / "bag_0.db3").symlink_to(victim)
        for suffix in ("-wal", "-shm", "-journal"):
            (bag / f"bag_0.db3{suffix}").symlink_to(folder / "outside" / CANARY)
    (bag / "bag_1.db3").symlink_to("/dev/zero")
    (bag / "bag_2.mcap").symlink_to(bag / "bag_2.mcap")
    os.mkfifo(bag / "bag_3.mcap")
    with BagReader(bag) as reader:
        count = sum(1 for _ in reader.messages(list(reader.connections)))
        return f"{count} messages of the linked file; {reader.problem[:120]}"


def sql_in_a_bag(folder: Path) -> str:
    """Views, computed columns and triggers in place of tables."""
    from vljepa_ros.perception.bags.reading import BagError, BagReader

    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x id, x "
    harms = {
        "view": "ALTER TABLE messages RENAME TO old; CREATE VIEW messages AS "
        f"{endless} topic_id, x timestamp, x data FROM n",
        "column": "ALTER TABLE messages RENAME COLUMN data TO old; ALTER TABLE messages ADD COLUMN "
        "data AS (zeroblob(1000000000))",
        "attach": f"ATTACH '{folder}/outside/x.db' AS y",
    }
    source, said = storage(folder), []
    for name, sql in harms.items():
        file = folder / "inside" / f"{name}.db3"
        shutil.copy(source, file)
        with contextlib.suppress(sqlite3.Error), sqlite3.connect(file) as database:
            if name == "attach":  # stored as text only: nothing of it is ever run
                database.execute("UPDATE topics SET offered_qos_profiles = ?", (sql,))
            else:
                database.executescript(sql)
        try:
            with BagReader(file) as reader:
                said.append(f"{name}: {sum(1 for _ in reader.messages(list(reader.connections)))}")
        except BagError:
            said.append(f"{name}: refused")
    return ", ".join(said)


def names_in_a_bag(folder: Path) -> str:
    """Topics and frames that are paths, HTML and SQL: indexed, found, shown as a page, copied."""
    from colour_bag import images, write_messages
    from colour_engine import ColourEngine

    from vljepa_ros.cli.find import _page, _print_table
    from vljepa_ros.perception.bags.annotating import annotate_bag
    from vljepa_ros.perception.bags.embedding import ClipPlan
    from vljepa_ros.perception.bags.indexing import IndexPlan, index_bag, write_events
    from vljepa_ros.perception.bags.reading import RAW
    from vljepa_ros.perception.memory.row import SAMPLE, Row
    from vljepa_ros.perception.memory.search import MomentQuery, find_moments
    from vljepa_ros.perception.memory.store import Filter, open_store

    inside = folder / "inside"
    topics = (f"/{TRAVERSAL}", f"/{EVIL}", "/x' OR '1'='1", "/front/image_raw")
    bag = write_messages(inside / "bag", {(topic, RAW): images(60) for topic in topics})
    engine = ColourEngine()
    store = open_store(inside / "memory", "colour-1", 8, create=True)
    plan = IndexPlan(ClipPlan(every=0.5, thumbnail=16), threshold=0.5)
    report, scenes = index_bag(bag, engine, store, plan, inside / "work")
    write_events(
        scenes, report.bag, "colour-1", inside / "events" / f"{Path(report.bag).name}.jsonl"
    )
    rows = store.count()
    store.delete(Filter(cameras=("x' OR '1'='1' --",)))
    assert store.count() == rows, "a name was read as SQL"
    (vector,) = engine.encode_text(["red"])
    store.append([Row(SAMPLE, EVIL, 0, 1, 0, vector, EVIL, EVIL)])
    moments = find_moments(store, MomentQuery(EVIL, limit=100), vector, engine.config.calibration)
    page = _page(EVIL, moments)
    assert "<script" not in page
    assert "<img src=x" not in page
    assert moments
    _print_table(moments)
    printed = sys.stdout.getvalue()  # type: ignore[attr-defined]
    assert not {"\x1b", "\x07"} & set(printed), "a text speaks to the terminal"
    assert "[red]" in printed, "a text is read as markup"
    added = annotate_bag(bag, inside / "copy", scenes, engine, "mcap", lambda share: None)
    return f"{rows} rows, {len(moments)} moments as text, {added} messages copied"


def definitions_in_a_bag(folder: Path) -> str:
    """Message definitions that hold Python, which rosbags makes classes of: never run."""
    from colour_engine import ColourEngine

    from vljepa_ros.perception.bags.annotating import annotate_bag
    from vljepa_ros.perception.bags.reading import BagError

    call = f"__import__('os').system('touch {folder}/outside/x')"
    definitions = (
        f"uint8[{call}] data\n",
        f"uint8 data {call}\n",
        f"string A=\"'+{call}+'\"\nuint8 data\n",
        f"uint8 a\n{'=' * 80}\nMSG: x/{call}\nuint8 b\n",
        f"{'=' * 80}\nIDL: x/msg/Y\nmodule x {{ module msg {{ struct Y {{ {call} a; }}; }}; }};\n",
    )
    source, said = storage(folder), []
    for number, definition in enumerate(definitions):
        for kind in ("x/msg/Y", f"x/msg/{call}", f'x/msg/Y"""\n{call}\n"""'):
            file = folder / "inside" / f"bag{number}.db3"
            shutil.copy(source, file)
            with sqlite3.connect(file) as database:
                database.execute("UPDATE topics SET type = ?", (kind,))
                database.execute(
                    "UPDATE message_definitions SET topic_type = ?, encoded_message_definition = ?",
                    (kind, definition),
                )
            out = folder / "inside" / "copy"
            shutil.rmtree(out, ignore_errors=True)
            try:
                annotate_bag(file, out, [], ColourEngine(), "mcap", lambda share: None)
                said.append("copied")
            except BagError:
                said.append("refused")
    return f"{said.count('copied')} copied, {said.count('refused')} refused"


def memory_files(folder: Path) -> str:
    """A memory whose files were replaced by links and rubbish."""
    from memory_rows import DIM, MODEL, row

    from vljepa_ros.perception.memory.store import MemoryStoreError, open_store

    place = folder / "inside" / "memory"
    open_store(place, MODEL, DIM, create=True).append([row(1.0)])
    said = []
    for file in sorted(path for path in place.rglob("*") if path.is_file()):
        data = file.read_bytes()
        for harm in ("link", "rubbish", "loop"):
            with own_hands():
                file.unlink()
                if harm == "link":
                    file.symlink_to(folder / "outside" / CANARY)
                elif harm == "loop":
                    file.symlink_to(file)
                else:
                    file.write_bytes(b"\xff" * len(data))
            try:
                open_store(place, MODEL, DIM).rows()
                said.append("read")
            except MemoryStoreError:
                said.append("refused")
            with own_hands():
                file.unlink()
                file.write_bytes(data)
    return f"{said.count('refused')} refused, {said.count('read')} read of {len(said)}"


def console_requests(folder: Path) -> str:
    """Requests of every kind to the console: paths, headers, sizes, other sites, HTML."""
    from vljepa_ros.console.board import Board
    from vljepa_ros.console.server import ConsoleServer, Refused, Robot

    def call(service: str, fields: Any) -> Any:
        raise Refused(400, f"{service} {fields}")

    def picture(camera: str, after: int) -> Any:
        raise Refused(404, camera)

    reports: list[str] = []
    server = ConsoleServer("127.0.0.1", 0, "", Robot(Board(), picture, call, reports.append))
    port = server.server_address[1]
    json_headers = {"Content-Type": "application/json"}
    requests: list[tuple[str, str, Any, dict[str, str]]] = [
        *(("GET", path, None, {}) for path in ("/../../etc/passwd", "//etc/passwd", "/%2e%2e/x")),
        *(("GET", f"/picture?camera={one}&after=0", None, {}) for one in ("../x", "%00", "<b>")),
        *(("GET", f"/picture?after={'9' * n}", None, {}) for n in (19, 5000)),
        *(("GET", "/", None, {"Host": host}) for host in ("evil.example", "[", "a b", "x" * 9000)),
        *(
            ("POST", "/call/x", "{}", json_headers | {"Origin": o})
            for o in ("null", "http://e", "[")
        ),
        ("POST", "/call/x", "{}", {"Content-Type": "text/plain"}),
        ("POST", "/call/x", "[" * 100_000, json_headers),
        ("POST", "/call/x", '{"a": ' * 900 + "1" + "}" * 900, json_headers),
        ("POST", "/call/x", "1" * 5000, json_headers),
        ("POST", "/call/x", b"\xff\xfe", json_headers),
        ("POST", "/call/../../x", "{}", json_headers),
        ("POST", "/call/x", "{}", json_headers | {"Content-Length": "999999999999"}),
        ("POST", "/call/x", "{}", json_headers | {"Transfer-Encoding": "chunked"}),
        *((m, "/", None, {}) for m in ("PUT", "DELETE", "TRACE", "OPTIONS", "BREW")),
    ]
    found: dict[int, int] = {}
    try:
        for method, path, body, headers in requests:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            with contextlib.suppress(http.client.HTTPException, ConnectionError):
                connection.putrequest(method, path, skip_host="Host" in headers)
                if body is not None and "Content-Length" not in headers:
                    headers = headers | {"Content-Length": str(len(body))}
                for name, value in headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body.encode() if isinstance(body, str) else body)
                reply = connection.getresponse()
                text = reply.read()
                assert b"root:" not in text
                assert reply.getheader("Content-Type") != "text/html" or b"<b>" not in text
                assert reply.status >= 400, (method, path[:80], headers, text[:80])
                found[reply.status] = found.get(reply.status, 0) + 1
            connection.close()
    finally:
        server.close()
    assert not reports, reports[0][-300:]
    return f"{len(requests)} requests: {dict(sorted(found.items()))}"


CHECKS: dict[str, Check] = {
    "decompression bombs in bags": bombs,
    "names in metadata, and links": names_in_metadata,
    "SQL in a bag": sql_in_a_bag,
    "names and texts in a bag": names_in_a_bag,
    "definitions in a bag": definitions_in_a_bag,
    "files of a memory": memory_files,
    "requests to the console": console_requests,
}
