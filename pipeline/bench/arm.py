"""What bits save on ARM: `python -m pipeline.bench.arm` counts the instructions of one network, real, in int8 and binary.

Its middle convolutions are what differs. It runs as two C files without a runtime, compiled for 64-bit ARM with the kernels, and
in the runtimes of two emulated boards, where the kernels come with the file. What it learned does not change how much is
computed, so it learns nothing. Counts are emulated and are not time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.bench.kernels import INT8, exported
from pipeline.core import Json
from pipeline.errors import UserError, told
from pipeline.files import write_atomic
from pipeline.measure import Failure
from pipeline.progress import silent
from pipeline.registry import ROOT
from targets._sampling import Candidate, MeasureSet, Plan
from targets.emulator.count import compiled, counts
from targets.emulator.world import unusable as no_boards
from targets.kernels.build import OPTIONS, SOURCES
from targets.rpi import Rpi

PROCESSOR = "cortex-a72"
BOARDS = {"cortex-a72": "emulated-pi4", "cortex-a76": "emulated-pi5"}
RUNTIMES, KINDS = ("onnxruntime", "litert"), ("float32", "int8", "binary")
SHAPE = (1, 3, 32, 32)
DRIVER = Path(__file__).with_name("arm.c")
TOOLS = {
    "aarch64-linux-gnu-gcc": "g++-aarch64-linux-gnu",
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
    "qemu-aarch64": "qemu-user",
    "cc": "gcc",
}
"""Programs, and Debian's packages that bring them."""


def unusable() -> str | None:
    """Why nothing can be counted here."""
    for program, package in TOOLS.items():
        if shutil.which(program) is None:
            return f"counting on emulated ARM needs {program} (Debian: apt-get install {package})"
    return None


def network(channels: int, binary: bool) -> Any:
    """An image of 3 x 32 x 32 through six 3x3 convolutions, of which the first is real, to ten logits."""
    import torch
    from torch import nn

    from pipeline.compress._binary import binarized

    torch.manual_seed(0)

    def middle(pool: bool) -> list[nn.Module]:
        layer = nn.Conv2d(channels, channels, 3, padding=1)
        real = [layer, nn.BatchNorm2d(channels), nn.ReLU()]
        return [*([binarized(layer, "sign")] if binary else real), *([nn.MaxPool2d(2)] if pool else [])]

    first = [nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2)]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(*first, *(each for place in range(5) for each in middle(place in (1, 3))), *last).eval()


def measured(module: Any, folder: Path) -> Json:
    """Instructions of one inference, the median of some, and the bytes of the program that does it."""
    (file,) = exported("standalone", module, SHAPE, None, folder / "net")
    named = ["-DNET=net", f'-DSOURCE="{file}"', f"-I{SOURCES[0].parent}"]
    _done(["aarch64-linux-gnu-gcc", "-O3", "-ffp-contract=fast", *named, "-c", str(DRIVER), "-o", str(folder / "net.o")])
    kernels = [*map(str, SOURCES[:2])] if "network.h" in file.read_text() else []
    options = [each for each in OPTIONS if each not in ("-shared", "-fPIC")]
    _done(["aarch64-linux-gnu-g++", *options, "-static", "-s", str(folder / "net.o"), *kernels, "-o", str(folder / "net")])
    out = folder / "counts"
    _done(["qemu-aarch64", "-cpu", PROCESSOR, "-plugin", f"{compiled(folder)},out={out}", str(folder / "net")])
    return {"instructions": int(median(counts(out.read_text())[0])), "program_bytes": (folder / "net").stat().st_size}


def _done(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{command[0]} failed: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")


def in_runtimes(channels: int, device: str, say: Callable[[str], None]) -> Json:
    """The median of each runtime's instructions of one inference on an emulated board, by kind; of all kinds in one run."""
    sets = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        for runtime in RUNTIMES:
            (folder / runtime).mkdir()
            found = {}
            for kind in KINDS:
                module, precision = network(channels, kind == "binary"), INT8 if kind == "int8" else None
                files = exported(runtime, module, SHAPE, precision, folder / runtime / kind)
                found[kind] = Candidate(tuple(files), {"x": np.zeros(SHAPE, np.float32)})
            sets.append(MeasureSet(runtime, found))
        with Rpi(device).reach(say) as board:
            measured = board.measure(sets, folder / "lock", Plan(), silent)
    result: Json = {}
    for runtime, candidates in zip(RUNTIMES, measured.sets, strict=True):
        for kind, samples in candidates.items():
            if isinstance(samples, Failure):
                raise UserError(f"{device}, {runtime}, {kind}: {samples.reason}")
            result.setdefault(runtime, {})[kind] = int(np.median(samples.instructions))
    return result


def compare(channels: int) -> Json:
    """Both networks as C files."""
    found: Json = {"schema": "edgepress.bench.arm/1", "provenance": "emulated", "processor": PROCESSOR, "channels": channels}
    for name in ("float32", "binary"):
        with TemporaryDirectory() as folder:
            found[name] = measured(network(channels, name == "binary"), Path(folder))
    return found


def runtimes_table(found: Json) -> Table:
    """What a person reads of the runtimes."""
    shown = Table("instructions, emulated", *KINDS, "float32 / binary", "int8 / binary")
    for processor, runtimes in found.items():
        for runtime, kinds in runtimes.items():
            ratios = (f"{kinds[kind] / kinds['binary']:.1f}" for kind in ("float32", "int8"))
            shown.add_row(f"{processor}, {runtime}", *(f"{kinds[kind]:,}" for kind in KINDS), *ratios)
    return shown


def table(found: Json) -> Table:
    """What a person reads."""
    real, bits = found["float32"], found["binary"]
    shown = Table(f"{found['processor']}, emulated", "float32", "binary", "ratio")
    for name in ("instructions", "program_bytes"):
        ratio = f"{real[name] / bits[name]:.1f}"
        shown.add_row(name.replace("_", " "), f"{real[name]:,}", f"{bits[name]:,}", ratio)
    return shown


def main() -> None:
    """Prints the tables; writes build/bench/arm.json."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.bench.arm")
    parser.add_argument("--channels", type=int, default=64)
    channels: int = parser.parse_args().channels
    if reason := unusable():
        raise SystemExit(reason)
    found = compare(channels)
    console = Console()
    console.print(table(found))
    if why := no_boards():
        console.print(f"no emulated boards: {why}")
    else:
        found["runtimes"] = {processor: in_runtimes(channels, device, console.print) for processor, device in BOARDS.items()}
        console.print(runtimes_table(found["runtimes"]))
    write_atomic(ROOT / "build" / "bench" / "arm.json", json.dumps(found, indent=1).encode())


if __name__ == "__main__":
    told(main)
