"""PyTorch, eager, on the CPU: the model as the pipeline stores it (model.json and weights.safetensors).

The baseline that a person has before exporting anything. It needs the whole checkout, so it runs on hosts, not on devices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from targets.runtimes._base import Arrays, Input, Predictor, installed_version, mismatch, one_line, refuse, why_missing

if TYPE_CHECKING:
    from pipeline.core import Graph


@final
@dataclass(frozen=True)
class Torch:
    """One of the model's deployed graphs (the one that its folder is named after, else the first), without gradients."""

    format: ClassVar[str] = "torch"
    precision: ClassVar[str] = "fp32"
    packages: ClassVar[Mapping[str, str]] = {"torch": "torch"}

    def modules(self) -> tuple[str, ...]:
        """What `load` imports."""
        return ("torch", "safetensors.torch", "pydantic", "pipeline.model_file", "pipeline.options")

    def missing(self) -> str | None:
        """Why it cannot be used here."""
        return why_missing(self.packages)

    def version(self) -> str:
        """The version of the package."""
        return installed_version(self.packages)

    def load(self, files: list[Path], threads: int) -> Predictor:
        """The module, rebuilt and filled with its weights. The number of threads is the whole process's."""
        import torch

        torch.set_num_threads(threads)
        graph = deployed(files)
        expected = {name: Input((None, *spec.shape[1:]) if spec.shape else (), spec.dtype) for name, spec in graph.inputs.items()}
        return _Module(files[0].name, graph.module.eval(), expected, graph.outputs)


def deployed(files: list[Path]) -> Graph:
    """The graph of a stored model. ValueError for files that hold none."""
    from safetensors import SafetensorError

    from pipeline.errors import UserError
    from pipeline.model_file import load

    try:
        model = load(files[0].parent)
        graphs = model.family.build().graphs(model.module, model.domain)
        graph: Graph = graphs.get(files[0].parent.name) or next(iter(graphs.values()))
    except (UserError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{files[0].name}: {one_line(error)}") from error
    return graph


class _Module:
    """Checks its inputs before every call (a few microseconds): torch takes other shapes wherever a network can."""

    batch = None

    def __init__(self, file: str, module: Callable[..., Any], expected: Mapping[str, Input], outputs: tuple[str, ...]) -> None:
        import torch

        self.file = file
        self._module, self.expected, self._outputs = module, expected, outputs
        self._inference, self._tensor = torch.inference_mode, torch.from_numpy

    def __call__(self, inputs: Arrays) -> Arrays:
        if mismatch(self.expected, inputs):
            refuse(self.file, self.expected, inputs)
        with self._inference():
            # from_numpy shares memory, and warns where that could write to an array that is read-only.
            found = self._module(*(self._tensor(np.require(inputs[name], requirements=["C", "W"])) for name in self.expected))
        outputs = found if isinstance(found, tuple) else (found,)
        return {name: output.numpy() for name, output in zip(self._outputs, outputs, strict=True)}
