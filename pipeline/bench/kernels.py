"""Are networks of +-1 really faster? `python -m pipeline.bench.kernels` times them beside the same ones in float32 and int8.

Chains of four 3x3 convolutions, one thread, one sample, and a whole network (VGG-Small, whose first and last layers are float32).
All that is compared is called in turns in one run, so that ratios hold on a busy machine, too. Beside them stands what this
machine could do at most: how many products of +-1 it counts while it multiplies one pair of floats, both from registers alone.

The runtimes use the widest instructions that they find. What a narrower set of ours gains on a machine that has no wider one is
seen only beside a rival that is held to the same: oneDNN, which computes OpenVINO's convolutions, can be.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track

from pipeline.bench._kernels_shown import COLUMNS, medians, table, verdicts
from pipeline.core import Array, Arrays, Domain, Facts, Graph, Json, Model, Precision, Predict, Spec, TensorSpec
from pipeline.files import write_atomic
from pipeline.measure import paired_ratio
from pipeline.places import measuring_lock
from pipeline.registry import ROOT, find
from targets.device import host
from targets.device.job import Sampling
from targets.device.sampling import Call, interleaved, no_collection, warm
from targets.kernels.layer import instruction_sets, loaded
from targets.kernels.network import Network

if TYPE_CHECKING:
    from torch import nn

SAMPLING = Sampling(warmup=2, rounds=25)
CHANNELS, SIZES, LAYERS = (64, 128, 256), (14, 28, 56), 4
INT8 = Precision("static", calibration_samples=8)
RIVALS = tuple((runtime, INT8 if kind == "int8" else None) for runtime, kind in COLUMNS)
HELD, HOLD = "openvino", "ONEDNN_MAX_CPU_ISA"
"""The runtime that can be held to an instruction set, and the variable that does it, before it is loaded."""


@dataclass
class Contender:
    """One file, or one instruction set of ours, in a run."""

    name: str
    call: Call
    files: list[Path] = field(default_factory=list)
    bytes: int = 0
    """On disk."""
    peak_bytes: int = 0
    """By how much a fresh process grew that loaded it and called it twice, its libraries not counted."""


def chain(channels: int, binary: bool) -> nn.Module:
    """LAYERS convolutions of 3x3, of +-1 or with ReLU between them."""
    from torch import nn

    layers: list[nn.Module] = []
    for _ in range(LAYERS):
        layers += _layer(nn.Conv2d(channels, channels, 3, padding=1), binary)
    return nn.Sequential(*layers).eval()


def vgg_small(binary: bool) -> nn.Module:
    """Six convolutions and a linear layer for images of 3x32x32 (Zhang et al. 2018, "LQ-Nets", arXiv:1807.10029); the first and
    the last stay real."""
    from torch import nn

    layers: list[nn.Module] = [nn.Conv2d(3, 128, 3, padding=1), nn.ReLU()]
    for before, after, pooled in ((128, 128, True), (128, 256, False), (256, 256, True), (256, 512, False), (512, 512, True)):
        layers += _layer(nn.Conv2d(before, after, 3, padding=1), binary)
        layers += [nn.MaxPool2d(2)] if pooled else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512 * 4 * 4, 10)).eval()


def _layer(convolution: Any, binary: bool) -> list[nn.Module]:
    """With random weights that keep the scale (He et al. 2015) and, where it is binary, a norm as after a training."""
    import torch
    from torch import nn

    from pipeline.compress._binary import binarized

    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    if not binary:
        return [convolution, nn.ReLU()]
    layer = binarized(convolution, "sign")
    for numbers in (layer.norm.weight, layer.norm.bias, layer.norm.running_mean):
        torch.nn.init.normal_(numbers)  # type: ignore[arg-type]  # a running mean is a tensor
    return [layer]


def exported(runtime: str, module: nn.Module, shape: tuple[int, ...], precision: Precision | None, path: Path) -> list[Path]:
    """The module as a file of the runtime."""
    graph = Graph(module, {"x": TensorSpec(shape)}, ("y",))
    model = Model(Spec("model", "bench"), Domain("bench", graph.inputs, 0), module, Facts(0, 0), precision)
    samples = [{"x": sample} for sample in np.random.default_rng(0).standard_normal((8, *shape), np.float32)]
    form = find("format", find("runtime", runtime).format)()
    files: list[Path] = form.export(model, graph, path, samples, {})
    return files


def contenders(make: Any, shape: tuple[int, ...], folder: Path, held_to: str | None) -> Iterator[Contender]:
    """Every rival, our operator in ONNX Runtime and, for a network of +-1 alone, our library itself with each instruction set.

    Held to one instruction set: the rival that can be, and our library with that set.
    """
    import torch
    from torch import nn

    from pipeline.compress._binary import Binary

    sample = {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
    torch.manual_seed(0)
    real, binary = make(binary=False), make(binary=True)
    rivals = [each for each in RIVALS if each[0] == HELD] if held_to else [*RIVALS, ("onnxruntime", "packed")]
    for runtime, precision in rivals:
        name = f"{runtime} {'packed' if precision == 'packed' else 'int8' if precision else 'fp32'}"
        module, asked = (binary, None) if isinstance(precision, str) else (real, precision)
        files = exported(runtime, module, shape, asked, folder / name.replace(" ", "_"))
        yield Contender(name, Call(find("runtime", runtime)().load(files, threads=1), sample), files)
    if isinstance(binary, nn.Sequential) and all(isinstance(layer, Binary) for layer in binary):
        from pipeline.export._packed import stages
        from targets.kernels.network import write

        file = folder / "chain.epbn"
        file.write_bytes(write(stages(list(binary), (shape[1], shape[2], shape[3]))))
        for instruction_set in [held_to] if held_to else fast():
            yield Contender(f"packed {instruction_set}", Call(_packed(file, instruction_set), sample), [file])


def fast() -> list[str]:
    """The instruction sets that are there to be fast: not the plain one, where there is another."""
    return [name for name in instruction_sets() if name != "scalar"] or ["scalar"]


def _packed(file: Path, instruction_set: str) -> Predict:
    network = Network(file.read_bytes(), instruction_set)

    def predict(inputs: Arrays) -> Arrays:
        return {"y": network(inputs["x"])}

    return predict


MEMORY = """
import sys
from pathlib import Path
import numpy as np
name, shape, files = sys.argv[1], tuple(map(int, sys.argv[2].split("x"))), [Path(each) for each in sys.argv[3:]]
from pipeline.registry import find
from targets.device.runner import peak_bytes
if name.startswith("packed"):
    from pipeline.bench.kernels import _packed
    from targets.kernels.layer import loaded
    loaded()
    load = lambda: _packed(files[0], name.split()[1])
else:
    runtime = find("runtime", name.split()[0])()
    for module in runtime.modules():
        __import__(module)
    load = lambda: runtime.load(files, 1)
sample = {"x": np.zeros(shape, np.float32)}
before = peak_bytes()
predict = load()
for _ in range(2):
    predict(sample)
print(peak_bytes() - before)
"""


def weigh(contender: Contender, shape: Sequence[int]) -> None:
    """Notes the file's bytes and the memory that it takes."""
    contender.bytes = sum(file.stat().st_size for file in contender.files)
    command = [sys.executable, "-c", MEMORY, contender.name, "x".join(map(str, shape)), *map(str, contender.files)]
    contender.peak_bytes = int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def timed(found: Sequence[Contender]) -> dict[str, Array]:
    """Nanoseconds [1, rounds] of each, called in turns."""
    calls = {contender.name: contender.call for contender in found}
    with no_collection():
        warm(calls, SAMPLING.warmup)
        rounds = interleaved(calls, SAMPLING, random.Random(0))
    return {name: np.array([[each[name] for each in rounds]]) for name in calls}


def compared(found: Sequence[Contender], times: dict[str, Array], ours: str, **where: Any) -> Iterator[Json]:
    """How many times as long as `ours` each runtime takes in float32 and in int8, with the interval (95 %) of the first."""
    known = {contender.name: contender for contender in found}
    for runtime in dict.fromkeys(name for name, _ in RIVALS if f"{name} fp32" in times):
        fp32, int8 = (f"{runtime} {kind}" for kind in ("fp32", "int8"))
        ratio = paired_ratio(times[fp32], times[ours])
        yield {
            **where,
            "runtime": runtime,
            "binary": ours,
            "times_fp32": ratio.ratio,
            "low": ratio.low,
            "high": ratio.high,
            "times_int8": paired_ratio(times[int8], times[ours]).ratio if int8 in times else None,
            "ms": float(np.median(times[ours])) / 1e6,
            **{f"{kind}_{what}": getattr(known[name], kind) for kind in ("bytes", "peak_bytes")
               for what, name in (("fp32", fp32), ("int8", int8), ("binary", ours)) if name in known},
        }  # fmt: skip


def ceilings() -> dict[str, Json]:
    """Of each instruction set: products of +-1 and of floats a nanosecond, one thread, registers alone, and their ratio."""
    import ctypes

    library, found = loaded(), {}
    library.ep_peak.restype, library.ep_peak.argtypes = ctypes.c_double, [ctypes.c_char_p, ctypes.POINTER(ctypes.c_double)]
    for name in instruction_sets():
        floats = ctypes.c_double()
        bits = library.ep_peak(name.encode(), ctypes.byref(floats))
        if bits:
            found[name] = {"binary_per_ns": bits, "fp32_per_ns": floats.value, "times_fp32": bits / floats.value}
    return found


def study(
    channels: Sequence[int], sizes: Sequence[int], folder: Path, console: Console, held_to: str | None = None
) -> list[Json]:
    """Every chain."""
    rows: list[Json] = []
    shapes = [(width, size) for width in channels for size in sizes]
    for width, size in track(shapes, description=f"chains, held to {held_to}" if held_to else "chains", console=console):
        shape = (1, width, size, size)
        scratch = folder / f"{width}_{size}"
        scratch.mkdir()
        found = list(contenders(lambda binary, width=width: chain(width, binary), shape, scratch, held_to))
        times = timed(found)
        for contender in found:
            weigh(contender, shape)
        for ours in [name for name in times if "packed" in name]:
            rows += compared(found, times, ours, channels=width, size=size, held_to=held_to)
    return rows


def held_study(given: argparse.Namespace, held_to: str, folder: Path) -> list[Json]:
    """Every chain in a process of its own, whose rival is held to the instruction set."""
    out = folder / f"{held_to}.json"
    command = [sys.executable, "-m", "pipeline.bench.kernels", "--held-to", held_to, "--out", str(out)]
    command += ["--channels", *map(str, given.channels), "--sizes", *map(str, given.sizes)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, HOLD: held_to.upper()}, check=True)
    rows: list[Json] = json.loads(out.read_text())
    return rows


def whole_network(folder: Path) -> list[Json]:
    """VGG-Small, whose chain of +-1 is one operator in ONNX Runtime."""
    shape = (1, 3, 32, 32)
    found = list(contenders(vgg_small, shape, folder, None))
    times = timed(found)
    for contender in found:
        weigh(contender, shape)
    return list(compared(found, times, "onnxruntime packed", network="vgg_small"))


def main() -> None:
    """Runs the study, prints its tables, writes its JSON."""
    from filelock import FileLock

    parser = argparse.ArgumentParser(prog="python -m pipeline.bench.kernels", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/kernels.json")
    parser.add_argument("--channels", type=int, nargs="+", default=CHANNELS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="pixels of a side")
    parser.add_argument(
        "--held-to", metavar="SET", help=f"only this instruction set and {HELD}; {HOLD} is to hold it to the same"
    )
    given = parser.parse_args()
    console, start, before = Console(), time.monotonic(), host.state()
    if given.held_to:
        with tempfile.TemporaryDirectory() as name:
            rows = study(given.channels, given.sizes, Path(name), console, given.held_to)
        given.out.write_text(json.dumps(rows))
        return
    lock: Path = measuring_lock()
    with tempfile.TemporaryDirectory() as name, FileLock(lock):
        folder = Path(name)
        rows = study(given.channels, given.sizes, folder, console)
        for instruction_set in fast()[1:]:  # what is fastest here is compared with the fastest already
            rows += held_study(given, instruction_set, folder)
        summary: Json = {"results": rows, "whole_network": whole_network(folder), "ceiling": ceilings()}
    summary["medians"] = medians(rows)
    summary["host"] = {**host.facts(), "python": platform.python_version(), "state_before": before, "state_after": host.state()}
    summary["versions"] = {name: find("runtime", name)().version() for name in dict.fromkeys(name for name, _ in RIVALS)}
    summary["seconds"] = time.monotonic() - start
    write_atomic(given.out, json.dumps(summary, indent=1).encode())
    console.print(table(summary))
    console.print(verdicts(summary))
    console.print(f"{summary['seconds']:.0f} s; written to {given.out}")


if __name__ == "__main__":
    main()
