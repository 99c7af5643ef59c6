"""A device runs a program that it was given, and tells how it ended; here the program is a script of this very machine."""

import pytest

from targets.device import benchmark_model


@pytest.fixture
def program(tmp_path):
    def write(text):
        path = tmp_path / "benchmark_model"
        path.write_text(text)
        return path

    return write


def test_it_is_given_the_file_and_the_threads_and_both_its_outputs_are_kept(program, tmp_path):
    found = benchmark_model.run(program('#!/bin/sh\necho "$@"\necho more >&2\n'), tmp_path / "a.tflite", 3)
    assert found == {"ended": "", "output": f"--graph={tmp_path / 'a.tflite'} --num_threads=3\nmore\n"}


@pytest.mark.parametrize(
    ("text", "ended", "output"),
    [
        ("#!/bin/sh\necho no; exit 3\n", "ended with exit code 3", "no\n"),
        ("#!/bin/sh\nkill -SEGV $$\n", "was ended by SIGSEGV", ""),
        ("#!/bin/sh\nexec sleep 60\n", "did not end within 1 s", ""),
        ("no program at all", "does not start (Exec format error)", ""),
        (f"#!/bin/sh\nprintf '%*s' {3 * benchmark_model.MOST} x\n", "", " " * (benchmark_model.MOST - 1) + "x"),
    ],
)
def test_however_it_ends_it_is_told(program, tmp_path, monkeypatch, text, ended, output):
    monkeypatch.setattr(benchmark_model, "SECONDS", 1)
    assert benchmark_model.run(program(text), tmp_path / "a.tflite", 1) == {"ended": ended, "output": output}
