"""A small recipe made ready for a target that judges, and what its answers must be: torch's, and integers without saturation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from pipeline import model_file
from pipeline.candidates import measure_sets
from pipeline.core import Arrays
from pipeline.evaluate import one_by_one
from pipeline.execute import execute
from pipeline.files import load_arrays
from pipeline.places import data_root, store_root
from pipeline.plan import Cell, make
from pipeline.recipe import read
from pipeline.registry import find
from pipeline.steps.export import ANSWER, SAMPLE
from pipeline.store import Store
from targets._device import Judges
from targets._sampling import Measured, MeasureSet
from targets.cpu import Cpu

RECIPE = """
name = "board"
data = "digits"
preset = "quick"
models = [{ model = "mlp" }]
[[variants]]
name = "int8"
steps = [{ technique = "quantize_static" }]
"""


@dataclass(frozen=True)
class Prepared:
    """A recipe whose files are in the store."""

    store: Store
    cells: Mapping[tuple[str, str], Cell]
    """By runtime and variant."""
    sets: Mapping[tuple[str, str], MeasureSet]

    def compare(self, measured: Measured) -> None:
        """Fails unless the target's answers and evidence are those of torch, and of the same integers here."""
        for (_, runtime), wanted, judged, outputs in zip(
            self.sets, self.sets.values(), measured.judged, measured.outputs, strict=True
        ):
            for variant, candidate in wanted.candidates.items():
                cell, judging = self.cells[runtime, variant], candidate.judging
                assert judging is not None
                sample = load_arrays(self.store.path(cell.artifact) / SAMPLE)
                if variant == "reference":
                    answer = load_arrays(self.store.path(cell.artifact) / ANSWER)
                    np.testing.assert_allclose(outputs[variant]["logits"], answer["logits"], atol=1e-4)
                    predict = self._torch(cell)
                elif runtime == "onnxruntime":
                    predict = unoptimized(candidate.files[0])
                    np.testing.assert_array_equal(outputs[variant]["logits"], predict(sample)["logits"])
                    predict = one_by_one(predict)
                elif runtime == "litert":
                    predict = find("runtime", runtime)().load(list(candidate.files), threads=1)
                    # The same integers; tflite-runtime's last product with the scale may be rounded the other way.
                    np.testing.assert_array_max_ulp(outputs[variant]["logits"], predict(sample)["logits"], maxulp=1)
                    predict = one_by_one(predict)
                else:
                    continue
                evidence = judging.task.collect({"classifier": predict}, judging.samples)
                np.testing.assert_array_equal(judged[variant]["correct"], evidence["correct"], err_msg=f"{runtime} {variant}")

    def _torch(self, cell: Cell) -> Callable[[Arrays], Arrays]:
        from pipeline.evaluate import module_predictor

        model = model_file.load(self.store.path(cell.model_keys[-1]))
        return module_predictor(model.family.build().graphs(model.module, model.domain)["classifier"])


def prepare(
    recipe: Path, target: str, folder: Path, runtimes: Mapping[str, str | None] | None = None, judges: Judges | None = None
) -> Prepared:
    """Trains, compresses and exports, or finds that in the store. Without a word on `runtimes`, all but torch."""
    store = Store(store_root())
    usable = dict(runtimes or {**Cpu().runtimes(), "torch": "not here"})
    plan = make(read(recipe), target, data_root(), usable, judged_here=False)
    outcomes = execute(plan.steps, {}, store, folder, 1, _Silent())
    cells = {(cell.runtime, cell.variant): cell for cell in plan.cells if not cell.unavailable}
    return Prepared(store, cells, measure_sets(plan, outcomes, store, aa=False, judges=judges or Judges()))


class _Silent:
    def started(self, *said: object) -> None: ...
    def progress(self, *said: object) -> None: ...
    def finished(self, *said: object) -> None: ...


def unoptimized(path: Path) -> Callable[[Arrays], Arrays]:
    """ONNX Runtime without its optimized integer kernels, which saturate on some x86 CPUs."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))
