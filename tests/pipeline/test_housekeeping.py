from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline import housekeeping
from pipeline.places import store_root
from pipeline.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("EDGEPRESS_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    store = Store(store_root())
    for key in ("aaa", "bbb", "ccc"):
        with store.writing(key) as folder:
            (folder / "weights").write_bytes(b"1234" * 300)
            store.commit(folder, key, kind="train", label=f"net {key}", inputs=(), seconds=1, facts={})
    return store


def test_listing_an_empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("EDGEPRESS_HOME", str(tmp_path / "none"))
    housekeeping.listing()
    housekeeping.collect(0)
    assert housekeeping.check(repair=False) == 0
    assert "0 entries, 0.0 MB" in capsys.readouterr().out and not (tmp_path / "none").exists()


def test_listing_says_what_how_big_and_when(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (store.path("bbb") / "entry.json").write_bytes(b"{")
    housekeeping.listing()
    out = capsys.readouterr().out
    assert "net aaa" in out and "1,200" in out and time.strftime("%Y-%m-%d") in out
    assert "net bbb" not in out and "2 entries" in out, "what cannot be read is `check`'s to report"


def test_check_names_all_that_is_wrong_and_repair_takes_only_that(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (store.path("aaa") / "weights").unlink()
    (store.path("bbb") / "entry.json").write_bytes(b"{")
    assert housekeeping.check(repair=False) == 1
    out = capsys.readouterr().out
    assert "net aaa (key aaa): file weights is missing" in out and "key bbb: entry.json cannot be read" in out
    assert "3 entries, 2 wrong" in out and store.keys() == ["aaa", "bbb", "ccc"]
    assert housekeeping.check(repair=True) == 0 and store.keys() == ["ccc"]
    assert housekeeping.check(repair=False) == 0


def test_collecting_says_how_much_it_freed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    old = time.time() - 8 * 86400
    os.utime(store.path("aaa"), (old, old))
    housekeeping.collect(older_than_days=7)
    assert "removed 1 entries, 0.0 MB freed" in capsys.readouterr().out and store.keys() == ["bbb", "ccc"]
