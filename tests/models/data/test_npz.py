"""A .npz file is read whole and right, or refused in one line: never run, never allowed to claim memory that it does not fill."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data._npz import read
from pipeline.errors import UserError

EXPECTED = {"a": ("integers", 1), "b": ("numbers", 2)}


def arrays() -> dict[str, np.ndarray]:
    return {"a": np.arange(5, dtype=np.int32), "b": np.asfortranarray(np.arange(6.0).reshape(2, 3))}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as refused:
        read(path, EXPECTED)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_was_written_is_read_back(save, tmp_path: Path) -> None:
    save(tmp_path / "a.npz", **arrays())
    found = read(tmp_path / "a.npz", EXPECTED)
    for name, array in arrays().items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a": None}, "array 'a' is missing, found b"),
        ({"a": np.arange(5.0)}, "found float64 in 1 dimensions, expected integers in 1"),
        ({"a": np.zeros((2, 2), int)}, "found int64 in 2 dimensions, expected integers in 1"),
        ({"b": np.array([["x"]])}, "found <U1 in 2 dimensions"),
    ],
)
def test_another_content_is_refused_by_name(change: dict[str, np.ndarray | None], words: str, tmp_path: Path) -> None:
    left = {name: array for name, array in {**arrays(), **change}.items() if array is not None}
    np.savez(tmp_path / "a.npz", **left)
    assert words in refusal(tmp_path / "a.npz")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{**arrays(), "a": np.array([print], dtype=object)})
    assert "found object" in refusal(tmp_path / "a.npz")


def test_a_header_cannot_claim_more_than_follows(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i4", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", header.getvalue() + bytes(20))
    assert "declares shape [1000000000000000]" in refusal(tmp_path / "a.npz")


@settings(max_examples=60)
@given(data=st.data())
def test_a_changed_byte_is_found_or_harmless(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays())
    content = bytearray(stream.getvalue())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("changed") / "a.npz"
    path.write_bytes(content)
    try:
        found = read(path, EXPECTED)
    except UserError as error:
        assert str(path) in str(error)  # either outcome is right
    else:
        np.testing.assert_array_equal(found["a"], arrays()["a"])
