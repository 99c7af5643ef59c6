"""The kernels' library: built once, clean under the sanitizers, and without an instruction set that counts wrongly."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest

from pipeline.errors import UserError
from targets.kernels import build

FUZZ = Path(__file__).with_name("fuzz.cpp")


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEPRESS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def sets(library: Path) -> list[str]:
    loaded = ctypes.CDLL(str(library))
    loaded.ep_instruction_set.restype = ctypes.c_char_p
    found: list[str] = []
    while name := loaded.ep_instruction_set(len(found)):
        found.append(name.decode())
    return found


def test_it_is_built_once(own_home: Path) -> None:
    made = build.library()
    before = made.stat().st_mtime_ns
    assert build.library() == made and made.stat().st_mtime_ns == before
    assert sorted(path.name for path in made.parent.iterdir()) == [build.LIBRARY, "lock"]


def test_an_instruction_set_that_counts_wrongly_is_not_used(tmp_path: Path) -> None:
    whole = build.SOURCES[0].read_text()
    right = "sum += __builtin_popcountll(from[u] ^ *each++);"
    assert whole.count(right) == 1
    (tmp_path / "binary.h").write_bytes(build.HEADERS[0].read_bytes())
    (tmp_path / "wrong.cpp").write_text(whole.replace(right, "sum += __builtin_popcountll(from[u] ^ *each++) & 63;"))
    build.compile_to(tmp_path / "wrong.so", (tmp_path / "wrong.cpp",), build.OPTIONS)
    assert sets(tmp_path / "wrong.so") == [name for name in sets(build.library()) if name != "scalar"]


def test_no_compiler_and_a_source_that_does_not_compile_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.cpp").write_text("int main() { return nothing; }")
    with pytest.raises(UserError, match=r"no.cpp cannot be compiled by \S+: .*nothing"):
        build.compile_to(tmp_path / "no", (tmp_path / "no.cpp",), ())
    assert [path.name for path in tmp_path.iterdir()] == ["no.cpp"]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        UserError, match=r"need a C\+\+ compiler; found none of c\+\+, g\+\+, clang\+\+ \(Debian: apt-get install g\+\+\)"
    ):
        build.compiler()


def test_random_layers_are_clean_under_the_sanitizers(tmp_path: Path) -> None:
    options = ("-std=c++17", "-O1", "-g", "-w", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    build.compile_to(tmp_path / "fuzz", (FUZZ,), (*options, f"-I{build.SOURCES[0].parent}"))
    done = subprocess.run(
        [tmp_path / "fuzz", "300"],
        capture_output=True,
        text=True,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout == "300 layers\n"
