from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.store import ENTRY, Corrupt, Entry, Store

ROOT = Path(__file__).resolve().parents[2]
FILES = {"model.json": b'{"family": 1}', "classifier/weights.bin": bytes(range(256)) * 8}


def put(store: Store, key: str = "a1", label: str = "digits quick mlp: train", files: dict[str, bytes] = FILES) -> Entry:
    with store.lock(key), store.writing(key) as folder:
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        return store.commit(folder, key, kind="train", label=label, inputs=(), seconds=1.5, facts={"loss": 0.25})


def age(path: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(path, (then, then))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def process(store: Store) -> Callable[[str], subprocess.Popen[str]]:
    """Another process on the same store, `store` and `put` at hand."""

    def start(code: str) -> subprocess.Popen[str]:
        setup = f"import sys, time, os; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
        setup += f"from test_store import *; store = Store(Path({str(store.root)!r}))\n"
        return subprocess.Popen([sys.executable, "-c", setup + code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    return start


def test_what_was_committed_is_found_again_and_nothing_else(store: Store) -> None:
    assert store.get("a1") is None and store.keys() == []
    written = put(store)
    assert store.get("a1") == written
    assert (store.path("a1") / "classifier/weights.bin").read_bytes() == FILES["classifier/weights.bin"]
    assert store.keys() == ["a1"] and list(store.entries()) == [written]
    assert store.get("a2") is None
    assert written.bytes == sum(map(len, FILES.values()))


def test_an_artifacts_identity_is_its_files_and_not_its_key(store: Store) -> None:
    one, same, other = put(store, "a1"), put(store, "b2"), put(store, "c3", files={**FILES, "model.json": b"{}"})
    assert one.sha256 == same.sha256 != other.sha256


@pytest.mark.parametrize("name", [*FILES, ENTRY])
def test_any_changed_byte_is_found_and_its_file_named(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    put(store)
    path = store.path("a1") / name
    good = path.read_bytes()

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.integers(0, len(good) - 1), st.integers(0, 255))
    def check(position: int, value: int) -> None:
        if good[position] == value:
            return
        path.write_bytes(good[:position] + bytes([value]) + good[position + 1 :])
        with pytest.raises(Corrupt, match=re.escape(name)):
            store.get("a1")

    check()
    path.write_bytes(good)
    assert store.get("a1")


@pytest.mark.parametrize("damage", ["missing", "shorter", "longer", "empty"])
@pytest.mark.parametrize("name", [*FILES, ENTRY])
def test_a_file_that_is_gone_or_of_another_size_is_named(store: Store, name: str, damage: str) -> None:
    put(store)
    path = store.path("a1") / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"shorter": content[:-1], "longer": content + b" ", "empty": b""}[damage])
    with pytest.raises(Corrupt, match=re.escape(name)):
        store.get("a1")
    assert store.keys() == ["a1"]


def test_a_write_that_fails_leaves_no_entry_and_no_files(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.writing("a1") as folder:
        (folder / "half.bin").write_bytes(b"half")
        raise ZeroDivisionError
    assert store.get("a1") is None and store.keys() == []
    assert list((store.root / "tmp").iterdir()) == []


def test_what_a_killed_writer_left_is_no_entry_and_does_not_mix_with_the_next(
    store: Store, process: Callable[[str], subprocess.Popen[str]]
) -> None:
    with process(
        "with store.lock('a1'), store.writing('a1') as folder:\n"
        "    (folder / 'old.bin').write_bytes(b'x'); print('here', flush=True); time.sleep(60)"
    ) as writer:
        assert writer.stdout and writer.stdout.readline() == "here\n"
        writer.kill()
    assert store.keys() == [] and (store.root / "tmp" / "a1" / "old.bin").exists()
    assert set(put(store).files) == set(FILES)
    assert list((store.root / "tmp").iterdir()) == []


def test_checkpoints_survive_a_failure_and_go_with_success(store: Store) -> None:
    (store.partial("a1") / "checkpoint").write_bytes(b"epoch 3")
    with pytest.raises(ValueError), store.writing("a1"):
        raise ValueError
    assert (store.partial("a1") / "checkpoint").read_bytes() == b"epoch 3"
    put(store)
    assert not (store.root / "partial" / "a1").exists()


def test_a_second_process_waits_for_a_key_but_not_for_another(
    store: Store, process: Callable[[str], subprocess.Popen[str]]
) -> None:
    with store.lock("a1"):
        other = process("print('start', flush=True)\nwith store.lock('a1'): print(store.get('a1').label)")
        assert other.stdout and other.stdout.readline() == "start\n"
        refused = process("with store.lock('a1', wait=False) as held: print(held)").communicate(timeout=60)[0]
        with store.lock("b2", wait=False) as free:
            assert free and refused == "False\n"
        assert other.poll() is None
        with store.writing("a1") as folder:
            store.commit(folder, "a1", kind="train", label="made meanwhile", inputs=(), seconds=0, facts={})
    assert other.communicate(timeout=60)[0] == "made meanwhile\n"


def test_the_lock_of_a_killed_process_is_free(store: Store, process: Callable[[str], subprocess.Popen[str]]) -> None:
    with process("with store.lock('a1'): print('mine', flush=True); time.sleep(60)") as holder:
        assert holder.stdout and holder.stdout.readline() == "mine\n"
        with store.lock("a1", wait=False) as held:
            assert not held
        holder.kill()
    with store.lock("a1", wait=False) as held:
        assert held


def test_a_reader_beside_a_process_that_removes_and_rebuilds_sees_all_or_nothing(
    store: Store, process: Callable[[str], subprocess.Popen[str]]
) -> None:
    put(store)
    with process(
        "end = time.time() + 3\nprint('go', flush=True)\n"
        "while time.time() < end:\n    store.remove('a1'); put(store, label=str(time.time()))"
    ) as rebuilder:
        assert rebuilder.stdout and rebuilder.stdout.readline() == "go\n"
        seen = set()
        while rebuilder.poll() is None:
            entry = store.get("a1")  # Corrupt here would be a false alarm, and a rebuild for nothing
            seen.add(entry and entry.created)
    assert rebuilder.returncode == 0 and len(seen) > 2, "the two did not meet"


def test_mending_removes_the_damaged_and_keeps_what_was_rebuilt_meanwhile(store: Store) -> None:
    put(store)
    (store.path("a1") / "model.json").write_bytes(b"")
    store.mend("a1")
    assert store.keys() == []
    rebuilt = put(store)
    store.mend("a1")  # a second process that saw the damage before it was mended
    assert store.get("a1") == rebuilt


def test_gc_removes_what_is_old_and_not_in_use_and_says_how_much(store: Store) -> None:
    for key in ("old", "used", "locked", "new"):
        put(store, key)
    store.partial("stale-checkpoints")
    leftover = store.root / "tmp" / "old.removed.1234"
    leftover.mkdir(parents=True)
    for path in [*(store.path(key) for key in ("old", "used", "locked")), store.partial("stale-checkpoints"), leftover]:
        age(path, days=40)
    store.get("used")  # reading is using
    size = sum(file.stat().st_size for file in store.path("old").rglob("*") if file.is_file())
    with store.lock("locked"):
        assert store.collect(older_than_days=30) == (3, size)
    assert store.keys() == ["locked", "new", "used"]
    assert not leftover.exists() and list((store.root / "partial").iterdir()) == []


def test_two_processes_may_collect_at_once(store: Store, process: Callable[[str], subprocess.Popen[str]]) -> None:
    for index in range(200):
        put(store, f"k{index}", files={"a": b"x"})
    collectors = [process("sys.stdin.readline(); print(store.collect(0)[0])") for _ in range(2)]
    time.sleep(1.5)  # until both stand at the start
    for collector in collectors:
        assert collector.stdin
        collector.stdin.write("\n")
        collector.stdin.flush()
    removed = [int(collector.communicate(timeout=60)[0]) for collector in collectors]
    assert sum(removed) >= 200 and store.keys() == []


def test_a_full_disk_is_one_line_for_whoever_writes(store: Store) -> None:
    with pytest.raises(UserError, match="the disk is full"), store.writing("a1") as folder:
        (folder / "a").write_bytes(b"x")
        Path("/dev/full").write_bytes(b"x" * 10)  # the system's own ENOSPC
    assert store.keys() == [] and list((store.root / "tmp").iterdir()) == []
