"""LiteRT's benchmark_model, once of TensorFlow Lite: whether a file can be one for a phone, and what it printed.

Its versions print the figures in three ways (tensorflow/lite/tools/benchmark: benchmark_model.cc, core/util/stats_calculator.h):

    count=50 first=79449 curr=81350 min=77385 max=88213 avg=79732 std=1929        also after `Timings (microseconds): `
    Average inference timings in us: Warmup: 83235, Init: 38467, Inference: 79760.9
    Inference timings in us: Init: 5685, First inference: 18535, Warmup (avg): 14462.3, Inference (avg): 14575.2
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

from reports.record import BenchmarkModel

AARCH64 = 183
MACHINES = {3: "x86", 40: "32-bit ARM", 62: "x86-64", AARCH64: "aarch64", 243: "RISC-V"}
"""Of ELF headers."""
N = r"(\d{1,15}(?:\.\d{1,15})?(?:e[+-]?\d{1,2})?)"
TIMINGS = re.compile(rf"nference timings in us: Init: {N}, First inference: {N}, Warmup \(avg\): {N}, Inference \(avg\): {N}")
OLD_TIMINGS = re.compile(rf"Average inference timings in us: Warmup: {N}, Init: {N}, (?:Inference|no stats): {N}")
CALLS = re.compile(rf"count=(\d{{1,9}}) first={N} curr={N} min={N} max={N} avg={N} std={N}")
SAME_CALLS = re.compile(rf"count=(\d{{1,9}}) curr={N} \(all same\)")
MEMORY = re.compile(rf"(?:Peak memory footprint|Memory footprint delta from the start of the tool) \(MB\): init={N} overall={N}")


def why_not(path: Path) -> str | None:
    """Why a file cannot be a benchmark_model for a 64-bit phone; None when it may be one."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return f"{path} is no program: expected an ELF file for aarch64, LiteRT's benchmark_model for Android"
    (machine,) = struct.unpack_from("<H" if head[5] == 1 else ">H", head, 18)
    if machine != AARCH64:
        return f"{path} is a program for {MACHINES.get(machine, f'ELF machine {machine}')}, expected aarch64"
    return None


def parse(ended: str, output: str) -> BenchmarkModel:
    """Its figures, or the reason why there are none."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = f" (it said last: {lines[-1][:200]})" if lines else " (it said nothing)"
    if ended:
        return BenchmarkModel(reason=f"benchmark_model {ended}{last}")
    found = _calls(output) | _timings(output)  # the summary's mean has more digits
    if "average" not in found:
        return BenchmarkModel(reason=f"benchmark_model printed no timings that are known{last}")
    memory = MEMORY.findall(output)
    grown = round(float(memory[-1][1]) * 2**20) if memory else None
    calls = int(found.pop("calls", 0))
    milliseconds: dict[str, Any] = {name: value / 1e3 for name, value in found.items()}
    return BenchmarkModel(**milliseconds, calls=calls or None, memory=grown or None)


def _timings(output: str) -> dict[str, float]:
    """Microseconds of the summary."""
    if new := TIMINGS.findall(output):
        init, first, _, average = map(float, new[-1])
        return {"init": init, "first": first, "average": average}
    if old := OLD_TIMINGS.findall(output):
        _, init, average = map(float, old[-1])
        return {"init": init, "average": average}
    return {}


def _calls(output: str) -> dict[str, float]:
    """The number of calls and the microseconds of the last block: the one before is the warm-up."""
    if blocks := CALLS.findall(output):
        calls, _, _, least, most, average, deviation = map(float, blocks[-1])
        return {"calls": calls, "minimum": least, "maximum": most, "average": average, "deviation": deviation}
    if same := SAME_CALLS.findall(output):
        calls, each = map(float, same[-1])
        return {"calls": calls, "minimum": each, "maximum": each, "average": each, "deviation": 0.0}
    return {}
