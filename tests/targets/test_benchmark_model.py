"""What LiteRT's benchmark_model prints, as its versions print it, and files that are none."""

import pytest

from reports.record import BenchmarkModel
from targets._benchmark_model import parse, why_not
from tests.targets import arm64

NEW = """\
INFO: STARTING!
INFO: Graph: [mobilenet.tflite]
INFO: Initialized session in 3.337ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=9 first=81913 curr=55502 min=55502 max=81913 avg=58984.7 std=8115 p5=55502 median=56299 p95=81913

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=1061 first=56576 curr=56299 min=54669 max=60236 avg=56265.8 std=982 p5=54900 median=56200 p95=58000

INFO: Inference timings in us: Init: 3337, First inference: 81913, Warmup (avg): 58984.7, Inference (avg): 56265.8
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory.
INFO: Memory footprint delta from the start of the tool (MB): init=4.5 overall=8.75
"""
OLD = """\
Initialized session in 0.896ms
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=215 first=12231 curr=2106 min=2065 max=12231 avg=2331.42 std=746

Running benchmark for at least 100 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=459 first=2143 curr=2101 min=2056 max=2656 avg=2177.1 std=124

Average inference timings in us: Warmup: 2331.42, Init: 896, no stats: 2177.1
"""
OLDEST = """\
Timings (microseconds): count=50 first=79449 curr=81350 min=77385 max=88213 avg=79732 std=1929
Memory (bytes): count=0
31 nodes observed
"""


def test_the_newest_output_is_read_and_the_warm_up_is_not_taken_for_it():
    assert parse("", NEW) == BenchmarkModel(3.337, 81.913, 56265.8 / 1e3, 54.669, 60.236, 0.982, 1061, round(8.75 * 2**20))


def test_the_older_outputs_are_read():
    assert parse("", OLD) == BenchmarkModel(0.896, None, 2.1771, 2.056, 2.656, 0.124, 459)
    assert parse("", OLDEST) == BenchmarkModel(None, None, 79.732, 77.385, 88.213, 1.929, 50)


def test_one_call_and_powers_of_ten_are_numbers_too():
    summary = "Inference timings in us: Init: 1, First inference: 2, Warmup (avg): 2, Inference (avg): 1.2e+06"
    assert parse("", f"count=1 curr=1200000 (all same)\n{summary}\n") == BenchmarkModel(
        0.001, 0.002, 1200.0, 1200.0, 1200.0, 0.0, 1
    )


@pytest.mark.parametrize(
    ("ended", "output", "reason"),
    [
        ("ended with exit code 1", "a\nERROR: no such file\n", "ended with exit code 1 (it said last: ERROR: no such file)"),
        ("was ended by SIGSEGV", NEW[:200], "was ended by SIGSEGV (it said last: INFO: Running benchmark for at least 1 iter"),
        ("", "hello\n", "printed no timings that are known (it said last: hello)"),
        ("", "", "printed no timings that are known (it said nothing)"),
        ("", "Inference timings in us: Init: nan, First inference: 2, Warmup (avg): 2, Inference (avg): inf", "no timings"),
        ("", f"count=1 curr={'9' * 400} (all same)", "printed no timings that are known"),
    ],
)
def test_what_has_no_figures_has_a_reason_in_one_line(ended, output, reason):
    found = parse(ended, output)
    assert found == BenchmarkModel(reason=found.reason)
    assert reason in found.reason
    assert len(found.reason.splitlines()) == 1


def test_only_a_program_for_aarch64_may_be_one(tmp_path):
    assert why_not(arm64.write(tmp_path / "right", "hello")) is None
    other = arm64.write(tmp_path / "other", "hello", machine=62)
    assert why_not(other) == f"{other} is a program for x86-64, expected aarch64"
    assert why_not(arm64.write(tmp_path / "odd", "", machine=999)).endswith("is a program for ELF machine 999, expected aarch64")
    (tmp_path / "script").write_text("#!/system/bin/sh\necho 'Inference timings in us: 1'\n")
    (tmp_path / "short").write_bytes(b"\x7fELF")
    for name in ("script", "short"):
        assert f"{name} is no program: expected an ELF file for aarch64" in why_not(tmp_path / name)
    assert why_not(tmp_path / "none") == f"{tmp_path / 'none'}: No such file or directory"
    assert why_not(tmp_path).endswith("Is a directory")
