"""PyTorch, AOTInductor, on a GPU: the exported graph as one compiled library, run without Python in between.

A package holds code for the GPU and the torch that made it, so it is made where it runs, as it is loaded.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

from targets.runtimes.gpu._torch import REFUSALS, Run, TorchRuntime

if TYPE_CHECKING:
    import torch


PACKAGES = "EDGEPRESS_AOTI_PACKAGES"
"""The variable that names a run's own folder for packages: compiling takes a minute, and a run loads a model seven times."""


@final
@dataclass(frozen=True)
class TorchAoti(TorchRuntime):
    """With an open batch where torch.export can leave it open; otherwise for batch 1, which the report says."""

    compiler: ClassVar[tuple[str, ...]] = ("torch._inductor.package",)

    def prepared(self, module: torch.nn.Module, example: tuple[torch.Tensor, ...], key: str) -> tuple[Run, int | None]:
        """The package, loaded; made before, unless this run has made it."""
        from torch._inductor import aoti_load_package

        with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="edgepress-aoti-") as own:
            warnings.simplefilter("ignore")  # torch's own, of its own insides
            folder = Path(os.environ.get(PACKAGES, own))
            # Loading runs the package's code. It comes from this process or from one of the same run, out of a folder that
            # the run made for itself alone and removes, never from a store or a shared cache.
            found = next(folder.glob(f"{key}-*.pt2"), None) or _made(module, example, folder, key)
            return aoti_load_package(str(found)), None if found.stem.endswith(OPEN) else 1


OPEN, ONE = "-open", "-one"
"""How a package's name says what batch it takes."""


def _made(module: torch.nn.Module, example: tuple[torch.Tensor, ...], folder: Path, key: str) -> Path:
    """The compiled package, under its name once it is whole."""
    import torch
    from torch._inductor import aoti_compile_and_package, config

    config.compile_threads = 1  # no pool of processes, which would outlive the child that asked for it
    program = _open_batch(module, example)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        package = Path(unfinished) / "model.pt2"
        aoti_compile_and_package(program or torch.export.export(module, example), package_path=str(package))
        return package.rename(folder / f"{key}{OPEN if program else ONE}.pt2")


def _open_batch(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> torch.export.ExportedProgram | None:
    """The module exported with an open batch; None where it holds on to one size."""
    import torch
    from torch.fx.experimental.symbolic_shapes import is_concrete_int

    # Two samples: the exporter takes a size of 1 for a constant.
    many = tuple(each.repeat(2, *(1 for _ in each.shape[1:])) if each.dim() else each for each in example)
    shapes = tuple({0: torch.export.Dim.AUTO} if each.dim() else None for each in example)
    try:
        program = torch.export.export(module, many, dynamic_shapes=shapes)
    except REFUSALS:  # whatever it is, batch 1 is tried next and says what is wrong with the module itself
        return None
    given = set(program.graph_signature.user_inputs)
    sizes = [node.meta["val"].shape[0] for node in program.graph.nodes if node.name in given and node.meta["val"].dim()]
    return None if any(map(is_concrete_int, sizes)) else program
