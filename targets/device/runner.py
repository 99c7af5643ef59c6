"""The program that measures on a device: `python -m targets.device.runner JOB_DIR RESULT_DIR`.

One run is one fresh process. It needs the standard library, numpy and a runtime. Each candidate that is to be judged is, in
a child of its own, over all samples that the job brings. Then for each candidate, again in a child (forked once the runtime's
package is imported, before any session exists, so that candidates share no state): time to load, time of the first call,
its outputs, peak memory. Then, set by set, the interleaved rounds, and of each candidate a steady block and, where there is
a meter, one for the energy. Raw samples are kept: RESULT_DIR/result.json comes last and whole, and names every other file of
the result with its size and sha256.
All forks come before this very process loads a file: an accelerator's driver, once it is in use, does not survive one.

A job that does not fit its own description is refused: one line on stderr, exit code 2. A candidate that does not load or
run becomes {"error": one line} and the others go on. stdout says `progress DONE TOTAL`.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from targets.device import benchmark_model, host, power
from targets.device.job import RESULT, SAMPLES, THREAD_VARIABLES, Entry, Job, Judging, file_sha256, inside, read
from targets.device.sampling import Call, clock, curve, handicapped, interleaved, no_collection, plainly, sustained, timed, warm
from targets.runtimes._base import Arrays, Runtime, Staged, Unsupported, find, one_line, present

Json = dict[str, Any]
FAILURES = (ValueError, RuntimeError, OSError, LookupError, TypeError, ArithmeticError, MemoryError, ImportError)
TRY_SECONDS = 300
"""A candidate whose first calls take longer than this is given up."""
JUDGE_SECONDS = 6 * 3600
"""The same for a judging, which may mean hours on a small board."""


def main(arguments: list[str]) -> int:
    """Runs a job; the process's exit code."""
    if len(arguments) != 2:
        print("usage: python -m targets.device.runner JOB_DIR RESULT_DIR", file=sys.stderr)
        return 2
    folder, target = map(Path, arguments)
    try:
        job = read(folder)
        runtime = find(job.runtime)
        if reason := runtime.missing():
            raise ValueError(reason)
    except (ValueError, OSError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    target.mkdir(parents=True, exist_ok=True)
    _write(target, Work(folder, target, job, runtime).run())
    return 0


@dataclass
class Work:
    """One job under way."""

    folder: Path
    result: Path
    job: Job
    runtime: Runtime
    done: float = 0
    candidates: dict[str, Json] = field(default_factory=dict)

    def run(self) -> Json:
        """The whole result."""
        start = clock()
        for module in self.runtime.modules():
            importlib.import_module(module)
        environment = self._environment(import_ns=clock() - start)
        judged = {}
        for number, (name, judging) in enumerate(self.job.judgings.items()):
            judged[name] = in_child(partial(self._judge, judging, f"evidence-{number}.npz"), JUDGE_SECONDS)
            self._progress()
        for number, (name, entry) in enumerate(self.job.candidates.items()):
            self.candidates[name] = in_child(partial(self._cold, entry, f"outputs-{number}.npz"))
            self._progress()
        generator = random.Random(self.job.seed)
        sets = [{"rounds": self._measure(names, generator)} for names in self.job.sets]
        if self.job.benchmark_model:
            self._benchmark_model()
        environment["state_after"] = host.state()
        return {
            "schema": SAMPLES,
            "environment": environment,
            "judged": judged,
            "candidates": self.candidates,
            "sets": sets,
            "files": {path.name: [path.stat().st_size, file_sha256(path)] for path in sorted(self.result.glob("*.npz"))},
        }

    def _judge(self, judging: Judging, name: str) -> Json:
        """The judge's evidence, written beside the result."""
        from targets.device import judge

        task = judge.build(judging.task)
        predictors = {graph: self._any_batch(files) for graph, files in judging.graphs.items()}
        with np.load(inside(self.folder, judging.samples), allow_pickle=False) as arrays:
            samples = dict(arrays)
        _save(self.result / name, judge.evidence(task, predictors, samples, self._progress_within))
        return {"evidence": name}

    def _any_batch(self, files: tuple[str, ...]) -> Callable[[Arrays], Arrays]:
        from pipeline.evaluate import one_by_one

        predict = self.runtime.load([inside(self.folder, name) for name in files], self.job.threads)
        return one_by_one(predict) if predict.batch == 1 else predict

    def _measure(self, names: tuple[str, ...], generator: random.Random) -> list[dict[str, int]]:
        """A set's rounds; its candidates' steady blocks go beside what is known of them already."""
        calls = dict[str, Call]()
        for name in generator.sample(names, len(names)):
            if "error" not in self.candidates[name]:
                self._open(name, calls)
        with no_collection():
            warm(calls, self.job.protocol.warmup)
            rounds = interleaved(calls, self.job.protocol, generator)
            for name in generator.sample(list(calls), len(calls)):
                steady = timed(calls[name], self.job.protocol.steady_calls, self.job.protocol.steady_seconds)
                self.candidates[name].setdefault("steady_ns", []).extend(steady)
            meter = power.find() if self.job.protocol.energy_seconds else None
            if meter:
                for name in generator.sample(list(calls), len(calls)):
                    self._energy(name, calls[name], meter)
            if self.job.protocol.sustained_seconds:
                for name in generator.sample(list(calls), len(calls)):
                    self._sustain(name, calls[name], meter)
            for name, call in calls.items():
                if self.job.protocol.batches and isinstance(call.predict, Staged):
                    self.candidates[name]["curve"] = asdict(curve(call.predict, call.inputs, self.job.protocol.batches))
        self._progress(len(names))
        return rounds

    def _energy(self, name: str, call: Call, meter: power.Meter) -> None:
        """A block of its own: a steady one may last milliseconds, which no meter sees, and its calls are to be left alone."""
        tally = power.Tally(meter)
        tally.around(partial(timed, call, sys.maxsize, self.job.protocol.energy_seconds))
        self.candidates[name]["energy"] = tally.as_json()

    def _sustain(self, name: str, call: Call, meter: power.Meter | None) -> None:
        """Minutes of calls, and their energy: a look now and then does not move a median of a minute."""
        tally = power.Tally(meter) if meter else None
        around = tally.around if tally else plainly
        self.candidates[name]["sustained_ns"] = sustained(call, self.job.protocol.sustained_seconds, around=around)
        if tally:
            self.candidates[name]["sustained_energy"] = tally.as_json()

    def _benchmark_model(self) -> None:
        """LiteRT's own program on each of its files, alone, after all that we time ourselves."""
        program = inside(self.folder, self.job.benchmark_model).resolve()
        for name, entry in self.job.candidates.items():
            if entry.files[0].endswith(".tflite") and "error" not in self.candidates[name]:
                ran = benchmark_model.run(program, inside(self.folder, entry.files[0]).resolve(), self.job.threads)
                self.candidates[name]["benchmark_model"] = ran

    def _open(self, name: str, calls: dict[str, Call]) -> None:
        entry = self.job.candidates[name]
        try:
            inputs = self._inputs(entry)
            predict = self._load(entry)
            predict(inputs)
            calls[name] = Call(predict, inputs, predict.stage(inputs) if isinstance(predict, Staged) else None)
        except FAILURES as error:
            self.candidates[name] = _failure(error)

    def _cold(self, entry: Entry, name: str) -> Json:
        """Nanoseconds from the file to a predictor that is ready and of its first call; peak bytes after one more call.

        What it answered is written beside the result: the host knows what it should be.
        """
        inputs = self._inputs(entry)
        start = clock()
        predict = self._load(entry)
        ready = clock()
        predict(inputs)
        first = clock()
        outputs = predict(inputs)
        found = {"load_ns": ready - start, "first_ns": first - ready, "peak_bytes": peak_bytes(), "outputs": name}
        if isinstance(predict, Staged):
            found["device_bytes"] = predict.peak_bytes()
        _save(self.result / name, outputs)
        return found

    def _load(self, entry: Entry) -> Callable[[Arrays], Arrays]:
        files = [inside(self.folder, name) for name in entry.files]
        return handicapped(self.runtime.load(files, self.job.threads), entry.handicap)

    def _inputs(self, entry: Entry) -> Arrays:
        with np.load(inside(self.folder, entry.inputs), allow_pickle=False) as arrays:
            return dict(arrays)

    def _environment(self, import_ns: int) -> Json:
        """`baseline_bytes` is the peak of a child that loads nothing: what the runtime itself weighs in each peak."""
        return {
            "host": host.facts(),
            "state_before": host.state(),
            "python": platform.python_version(),
            "runtime": self.job.runtime,
            "package": present(self.runtime.packages)[0],
            "version": self.runtime.version(),
            "threads": self.job.threads,
            "variables": {name: os.environ.get(name) for name in THREAD_VARIABLES},
            "seed": self.job.seed,
            "import_ns": import_ns,
            "baseline_bytes": in_child(lambda: {"peak_bytes": peak_bytes()}).get("peak_bytes"),
        }

    def _progress(self, steps: float = 1) -> None:
        self.done += steps
        total = len(self.job.judgings) + len(self.job.candidates) + sum(map(len, self.job.sets))
        print(f"progress {self.done:g} {total}", flush=True)

    def _progress_within(self, done: float, total: float, what: str = "") -> None:
        """Of the judging under way, which is one step of the job; said by the child, which leaves `done` as it is."""
        before = self.done
        self._progress(done / total)
        self.done = before


def in_child(work: Callable[[], Json], seconds: int = TRY_SECONDS) -> Json:
    """What `work` returns in a forked child; {"error": …} when it fails, crashes or hangs."""
    with tempfile.TemporaryFile() as answer:
        child = os.fork()
        if child == 0:
            _answer(work, answer.fileno(), seconds)
        _, status = os.waitpid(child, 0)
        answer.seek(0)
        text = answer.read()
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hung = f" (no answer within {seconds} s)" if number == signal.SIGALRM else ""
        return {"error": f"the runtime's process was ended by {signal.Signals(number).name}{hung}"}
    if not text:
        return {"error": f"the runtime's process ended with exit code {os.waitstatus_to_exitcode(status)}"}
    reply: Json = json.loads(text)
    return reply


def _answer(work: Callable[[], Json], descriptor: int, seconds: int) -> None:
    """The child's life. It leaves by _exit, so that nothing of the parent's runs twice."""
    code = 1
    try:
        signal.alarm(seconds)  # its default action ends the process even in the middle of native code
        try:
            reply = work()
        except FAILURES as error:
            reply = _failure(error)
        os.write(descriptor, json.dumps(reply).encode())
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)


def _failure(error: Exception) -> Json:
    return {"error": one_line(error), **({"unsupported": True} if isinstance(error, Unsupported) else {})}


def peak_bytes() -> int:
    """The largest resident size of this process so far (VmHWM; elsewhere getrusage, in bytes on macOS and KiB otherwise)."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _save(path: Path, arrays: Arrays) -> None:
    named: Any = arrays  # numpy's stub takes any keyword for its own option
    np.savez(path, **named)


def _write(folder: Path, result: Json) -> None:
    temporary = folder / f".{RESULT}.{os.getpid()}"
    with temporary.open("w") as file:
        json.dump(result, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / RESULT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
