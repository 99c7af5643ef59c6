"""C: the whole network as one source file, for where there is no runtime at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast, final

from pipeline.core import Arrays, Graph, Json, Model, Unsupported
from pipeline.export._common import provenance_json, target_file
from pipeline.export._quiet import quiet
from pipeline.export._trace import REFUSALS, exportable, refusal
from targets.runtimes.standalone import INTERFACE

if TYPE_CHECKING:
    import torch

    from pipeline.export._c_body import Body

LINE = 120
"""Characters, of the lines of constants."""


@final
@dataclass(frozen=True)
class C:
    """C99 of one float32 input and one output, batch 1: no library but C's own, no allocation while it runs, one thread.

    Chains of binary layers are packed files within it, which need the kernels of targets/kernels beside; all else computes in
    float32 and its weights are decimal numbers, so the source is three times as large as what a compiler makes of it. How fast it
    is is up to the compiler: `-march=native`, or `-mcpu=...` for another processor, lets it add 4 to 16 numbers at once.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".c",)
    tolerance: ClassVar[float] = 1e-4
    """Float32 sums in another order, as in the other formats."""

    def export(self, model: Model, graph: Graph, path: Path, calibration: list[Arrays], provenance: Json) -> list[Path]:
        """Writes `path`.c, whose functions begin with the file's name; the same model gives the same bytes."""
        if model.precision is not None:
            raise Unsupported(
                "integers are stored by the exporters of onnx, tflite and openvino; a C file's real layers are float32"
            )
        if model.adapter:
            raise Unsupported("a C file has no inputs for an adapter beside its base; merged, it is part of the base")
        specs = [*graph.inputs.values()]
        if len(specs) != 1 or specs[0].dtype != "float32" or len(graph.outputs) != 1:
            given = ", ".join(f"{spec.dtype} {name}" for name, spec in graph.inputs.items())
            raise Unsupported(f"a C file takes one float32 input and gives one output; this graph takes {given}"
                              f" and gives {', '.join(graph.outputs)}")  # fmt: skip
        source = _source(_prefix(path.name), graph, provenance)
        file = target_file(path, ".c")
        file.write_text(source)
        return [file]


def _prefix(name: str) -> str:
    """What the names of a file's functions begin with."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"_{plain}" if plain[0].isdigit() else plain


def _source(name: str, graph: Graph, provenance: Json) -> str:
    from pipeline.export._c_graph import body, number

    made, output = body(_traced(graph))
    ((given, taken),) = graph.inputs.items()
    interface = {"name": name, "input": [given, *taken.shape], "output": [*graph.outputs, *output.shape]}
    parts = [
        _head(name, {**interface, "kernels": bool(made.networks)}, provenance),
        _frame(name, prod(taken.shape), output.size, bool(made.networks)),
        _layers(made),
        *(_numbers("float", f"constant_{place}", map(number, array.flat)) for place, array in enumerate(made.constants)),
        *(_numbers("uint8_t", f"packed_{place}", map(str, file)) for place, file in enumerate(made.networks)),
        _functions(name, made, str(output)),
    ]
    return "\n".join(filter(None, parts))


def _traced(graph: Graph) -> torch.export.ExportedProgram:
    """Torch's operators without side effects, chains of binary layers packed."""
    import torch

    from pipeline.export._chains import lowered

    exportable(graph)  # runs it once: what does not take its declared inputs is the user's to mend
    try:
        with quiet():
            program = torch.export.export(*exportable(lowered(graph)))
            return cast("torch.export.ExportedProgram", program.run_decompositions({}))
    except REFUSALS as error:
        raise Unsupported(refusal("torch.export cannot trace the module", error)) from error


def _head(name: str, interface: Json, provenance: Json) -> str:
    """What a person reads first, and what the runtime `standalone` does."""
    (given, *taken), (result, *made) = interface["input"], interface["output"]
    kernels = """
//     c++ -std=c++17 -O3 -ffp-contract=off -c binary.cpp network.cpp
// These are the kernels of its layers of +-1: see Edgepress, targets/kernels. They allocate while it is opened.
"""
    return f"""\
// {INTERFACE} {json.dumps(interface)}
// edgepress {provenance_json(provenance)}
//
// A network as C99, computed by one thread at a time.
//
//     int {name}_open(void);                          before the first run: 0, or 1 where there is not enough memory
//     void {name}_run(const float* in, float* out);   {given} {taken} -> {result} {made}; allocates nothing
//     void {name}_close(void);
//
//     cc -O3 -march=native -ffp-contract=fast -c {name}.c      (-mcpu=... for another processor; links with -lm)
{kernels.lstrip() if interface["kernels"] else ""}"""


def _frame(name: str, taken: int, given: int, kernels: bool) -> str:
    """What is included and declared."""
    included = ["<math.h>", "<stddef.h>", "<string.h>", *(['"network.h"'] if kernels else [])]
    return "\n".join(
        [
            *(f"#include {each}" for each in included),
            "",
            f"#define {name}_INPUT {taken}  // floats",
            f"#define {name}_OUTPUT {given}",
            f"int {name}_open(void);",
            f"void {name}_run(const float* in, float* out);",
            f"void {name}_close(void);",
            "",
        ]
    )


def _layers(made: Body) -> str:
    """The functions that it calls."""
    from pipeline.export._c_layers import LANES, LAYERS, VECTORS

    lanes = [LANES] if made.layers & set(VECTORS) else []
    return "\n".join([*lanes, *(text for name, text in LAYERS.items() if name in made.layers)])


def _numbers(kind: str, name: str, written: Iterable[str]) -> str:
    """An array of constants."""
    lines, line = [f"static const {kind} {name}[] = {{"], ""
    for each in written:
        if len(line) + len(each) >= LINE:
            lines.append(line)
            line = ""
        line += f"{each},"
    return "\n".join([*lines, line, "};", ""])


def _functions(name: str, made: Body, output: str) -> str:
    """The three that are called from without."""
    files = range(len(made.networks))
    memory = [f"static float memory[{made.memory}];"] if made.memory else []
    opened = closed = ""
    if made.networks:
        memory.append(f"static ep_network* networks[{len(files)}];")
        opened = f"""
    static const uint8_t* const files[] = {{{", ".join(f"packed_{place}" for place in files)}}};
    static const size_t sizes[] = {{{", ".join(f"sizeof packed_{place}" for place in files)}}};
    for (int place = 0; place < {len(files)}; ++place)
        if (!networks[place] && !(networks[place] = ep_network_open(files[place], sizes[place], NULL, NULL, 0))) {{
            {name}_close();
            return 1;
        }}"""
        closed = f"""
    for (int place = 0; place < {len(files)}; ++place) {{
        if (networks[place]) ep_network_close(networks[place]);
        networks[place] = NULL;
    }}"""
    calls = "\n    ".join([*made.calls, f"memcpy(out, {output}, {name}_OUTPUT * sizeof *out);"])
    return f"""\
{chr(10).join(memory)}

int {name}_open(void) {{{opened}
    return 0;
}}

void {name}_close(void) {{{closed}
}}

void {name}_run(const float* in, float* out) {{
    {calls}
}}
"""
