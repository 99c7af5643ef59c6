"""Does the measuring tell the truth? `python -m pipeline.bench.measure` finds out, on this host, in its present unrest.

Through the same path that reports use (target `cpu`, three fresh processes, `pipeline.measure`), three things are tried whose
answer is known: a file against itself (a verdict faster or slower is false), and the same file handicapped by 15 % and by
5 % (any verdict but slower is a miss). Then our p50 is set against a bare loop around the very same session.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import platform
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pipeline.core import Arrays, Json
from pipeline.errors import UserError, told
from pipeline.files import write_atomic
from pipeline.measure import MARGIN, Failure, compare
from pipeline.places import measuring_lock
from pipeline.registry import ROOT, find
from reports.record import LatencyRatio
from targets._sampling import Candidate, MeasureSet, Plan
from targets.cpu import Cpu
from targets.device import host
from targets.device.job import Sampling
from targets.device.sampling import Call, timed
from targets.runtimes._openvino import library

SAMPLING = Sampling(steady_calls=0, energy_seconds=0)
"""The protocol of the reports, without the blocks for the percentiles and the energy."""
HANDICAPS = {"aa": 0.0, "slow15": 0.15, "slow5": 0.05}
JOBS = {"onnxruntime": 20, "openvino": 3}
"""Runs of three processes; each holds two self-comparisons and one of each handicap."""
KINDS = ("aa", "aa", "slow15", "slow5")
BLOCKS, BLOCK_SECONDS = 60, 0.02


@dataclass(frozen=True)
class Net:
    """A network of one kind of layer; `width` channels (of `size` x `size` pixels, 3x3 kernels) or features."""

    name: str
    width: int
    layers: int
    size: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its one input, batch 1."""
        return (1, self.width, self.size, self.size) if self.size else (1, self.width)


NETS = (Net("gemm, small", 512, 5), Net("conv, small", 16, 8, 14), Net("conv, medium", 32, 8, 28), Net("conv, large", 64, 8, 28))
"""About 0.08, 0.08, 1 and 4 ms on one core of 2020s x86."""


@dataclass(frozen=True)
class Trial:
    """One comparison whose answer is known."""

    kind: str
    runtime: str
    model: str
    found: LatencyRatio


def onnx_file(net: Net, path: Path) -> Path:
    """Writes the net with random weights that keep the activations' scale (He)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    shape = (net.width, net.width, 3, 3) if net.size else (net.width, net.width)
    nodes, weights = [], []
    for layer in range(net.layers):
        values = generator.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{layer}"))
        source = f"relu{layer - 1}" if layer else "x"
        operator = helper.make_node("Conv", [source, f"w{layer}"], [f"y{layer}"], pads=[1, 1, 1, 1])
        if not net.size:
            operator = helper.make_node("Gemm", [source, f"w{layer}"], [f"y{layer}"])
        nodes += [operator, helper.make_node("Relu", [f"y{layer}"], [f"relu{layer}"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, net.shape) for name in ("x", nodes[-1].output[0])]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def files(net: Net, runtime: str, folder: Path) -> tuple[Path, ...]:
    """The net in the runtime's format."""
    path = folder / f"{net.name.replace(', ', '_')}.onnx"
    if not path.exists():
        onnx_file(net, path)
    if runtime == "onnxruntime":
        return (path,)
    openvino = library()
    openvino.save_model(openvino.Core().read_model(path), path.with_suffix(".xml"), compress_to_fp16=False)
    return path.with_suffix(".xml"), path.with_suffix(".bin")


def sample_of(net: Net) -> Arrays:
    """One input."""
    return {"x": np.random.default_rng(1).standard_normal(net.shape).astype(np.float32)}


def trials(runtime: str, jobs: int, folder: Path, lock: Path) -> Iterator[list[Trial]]:
    """A job's trials at a time; the nets take turns."""
    ours = {net: files(net, runtime, folder) for net in NETS}
    for job in range(jobs):
        net = NETS[job % len(NETS)]
        plain = Candidate(ours[net], sample_of(net))
        sets = [
            MeasureSet(runtime, {"baseline": plain, "candidate": dataclasses.replace(plain, handicap=HANDICAPS[kind])})
            for kind in KINDS
        ]
        measured = Cpu().measure(sets, lock, Plan(seed=job, sampling=SAMPLING))
        found = []
        for kind, pair in zip(KINDS, measured.sets, strict=True):
            baseline, candidate = pair["baseline"], pair["candidate"]
            if isinstance(baseline, Failure) or isinstance(candidate, Failure):
                reason = next(each.reason for each in (baseline, candidate) if isinstance(each, Failure))
                raise UserError(f"{runtime}, {net.name}: {reason}")
            found.append(Trial(kind, runtime, net.name, compare(candidate, baseline)))
        yield found


def bare_loop(net: Net, folder: Path) -> Json:
    """Our p50 over that of a loop around `session.run`: the same session, alternate blocks in random order, paired."""
    (path,) = files(net, "onnxruntime", folder)
    predictor: Any = find("runtime", "onnxruntime")().load([path], threads=1)
    inputs, run = sample_of(net), predictor.session.run
    names = [output.name for output in predictor.session.get_outputs()]

    def bare(count: int) -> list[int]:
        durations = []
        for _ in range(count):
            start = time.perf_counter_ns()
            run(names, inputs)
            durations.append(time.perf_counter_ns() - start)
        return durations

    def ours(count: int) -> list[int]:
        return timed(Call(predictor, inputs), count)

    count = int(np.clip(BLOCK_SECONDS * 1e9 / np.median(bare(50)), 5, 200))
    generator, medians = random.Random(0), []
    for _ in range(BLOCKS):
        order = generator.sample([bare, ours], 2)
        times = {loop: float(np.median(loop(count))) for loop in order}
        medians.append((times[ours], times[bare]))
    ratio = float(np.exp(np.median(np.log([mine / theirs for mine, theirs in medians]))))
    return {"model": net.name, "ratio": ratio, "p50_us": float(np.median([theirs for _, theirs in medians])) / 1e3}


def counts(found: list[Trial]) -> Json:
    """How many of each, and how many were right."""
    verdicts = Counter((trial.kind, trial.found.verdict) for trial in found)
    kinds = Counter(trial.kind for trial in found)
    return {
        "aa_trials": kinds["aa"],
        "aa_false": verdicts["aa", "faster"] + verdicts["aa", "slower"],
        "aa_equivalent": verdicts["aa", "equivalent"],
        "slow15_trials": kinds["slow15"],
        "slow15_found": verdicts["slow15", "slower"],
        "slow5_trials": kinds["slow5"],
        "slow5_found": verdicts["slow5", "slower"],
    }


def table(summary: Json) -> Table:
    """What a person reads: each claim, what was aimed at, what was found."""
    rows = Table(title="Does the measuring tell the truth?")
    for heading in ("claim", "aim", "found", ""):
        rows.add_column(heading, justify="left" if heading in ("claim", "") else "right")
    off = abs(summary["bare_loop_ratio"] - 1)
    for claim, aim, found, met in (
        (
            "a file against itself: false verdicts",
            "<= 1 of 40",
            f"{summary['aa_false']} of {summary['aa_trials']}",
            summary["aa_false"] <= 1,
        ),
        (
            "… called equivalent",
            ">= 90 %",
            f"{summary['aa_equivalent']} of {summary['aa_trials']}",
            summary["aa_equivalent"] >= 0.9 * summary["aa_trials"],
        ),
        (
            "15 % slower: found",
            "all",
            f"{summary['slow15_found']} of {summary['slow15_trials']}",
            summary["slow15_found"] == summary["slow15_trials"],
        ),
        (
            "5 % slower: found",
            ">= 90 %",
            f"{summary['slow5_found']} of {summary['slow5_trials']}",
            summary["slow5_found"] >= 0.9 * summary["slow5_trials"],
        ),
        ("our p50 over a bare loop's, the worst model", "within 2 %", f"{summary['bare_loop_ratio']:.4f}", off <= 0.02),
    ):
        rows.add_row(claim, aim, found, "[green]met[/]" if met else "[red]missed[/]")
    return rows


def main() -> None:
    """Runs the study, prints its table, writes its JSON."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.bench.measure", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/measure.json")
    out: Path = parser.parse_args().out
    lock = measuring_lock()
    console, start, before = Console(), time.monotonic(), host.state()
    found: dict[str, list[Trial]] = {runtime: [] for runtime in JOBS}
    with tempfile.TemporaryDirectory() as name, Progress(console=console, refresh_per_second=1) as bar:
        for runtime, jobs in JOBS.items():
            task = bar.add_task(runtime, total=jobs)
            for batch in trials(runtime, jobs, Path(name), lock):
                found[runtime] += batch
                bar.advance(task)
        loops = [bare_loop(net, Path(name)) for net in bar.track(NETS, description="bare loop")]
    summary = {
        **counts(found["onnxruntime"]),
        "bare_loop_ratio": max((each["ratio"] for each in loops), key=lambda ratio: abs(math.log(ratio))),
        "detail": {
            "runtimes": {name: {"version": find("runtime", name)().version(), **counts(each)} for name, each in found.items()},
            "bare_loop": loops,
            "protocol": {**dataclasses.asdict(SAMPLING), "processes": Plan().processes, "margin": MARGIN},
            "host": {**host.facts(), "python": platform.python_version(), "state_before": before, "state_after": host.state()},
            "seconds": time.monotonic() - start,
            "trials": [dataclasses.asdict(trial) for each in found.values() for trial in each],
        },
    }
    write_atomic(out, json.dumps(summary, indent=1).encode())
    console.print(table(summary))
    console.print(f"{summary['detail']['seconds']:.0f} s; written to {out}")


if __name__ == "__main__":
    told(main)
