"""An .xml and .bin, and what OpenVINO makes of them: the plugin's own graph and its counters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.anatomy._parts import Part, Ran, Weight, signed, unpacked, weight
from pipeline.core import Array, Arrays
from targets.runtimes._openvino import library

RUNTIME = "openvino"
CALLS, COLD = 120, 20
"""The counters are means over all calls so far, in whole microseconds, and the first ones make kernels, a thousand times dearer:
what the later calls took is had from two readings."""
EDGES = ("Parameter", "Result", "Constant")
TYPES = {"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "u1": "int1"} | {
    f"{sign}{bits}": f"{word}{bits}" for sign, word in (("i", "int"), ("u", "uint")) for bits in (2, 4, 8, 16, 32, 64)
}
COMPUTED = {
    "f32": "float32",
    "f16": "float16",
    "bf16": "bfloat16",
    "i8": "int8",
    "u8": "int8",
    "i32": "int32",
    "i64": "int64",
    "u1": "int1",
}


def read(files: list[Path]) -> list[Part]:
    """The operations, each with the constants that it is the first to read, directly or through constant expressions."""
    model, zeros = library().Core().read_model(*map(str, files[:2])), dict[str, Any]()
    owned = list(_owned(model, zeros))
    return [
        _part(each.get_friendly_name(), each.get_type_name(), constants, zeros)
        for each, constants in owned
        if each.get_type_name() not in EDGES
    ]


def _owned(model: Any, zeros: dict[str, Any]) -> Iterator[tuple[Any, list[Any]]]:
    """The operations that are no constant expressions, with their constants. `zeros` gets the zero points of codes, by name."""
    sources, taken = dict[str, tuple[Any, ...]](), set[str]()
    for operation in model.get_ordered_ops():
        name, kind = operation.get_friendly_name(), operation.get_type_name()
        inputs = [value.get_node() for value in operation.input_values()]
        if kind == "Constant":
            sources[name] = (operation,)
            continue
        constant = [sources.get(given.get_friendly_name()) for given in inputs]
        if inputs and all(constant):
            sources[name] = tuple(each for group in constant if group for each in group)
            if kind == "Subtract":
                zeros[sources[name][0].get_friendly_name()] = sources[name][-1]
            continue
        mine = {each.get_friendly_name(): each for group in constant if group for each in group}
        yield operation, [each for label, each in mine.items() if label not in taken]
        taken.update(mine)


def _part(name: str, kind: str, constants: list[Any], zeros: dict[str, Any]) -> Part:
    weights = {each.get_friendly_name(): _weight(each, zeros) for each in constants}
    codes = [found.stored for found in weights.values() if found and found.stored.startswith(("int", "uint"))]
    sizes, scales = 0, 0
    for each in constants:
        main = weights[each.get_friendly_name()]
        # Beside codes of a few bits, what is float and no bias restores them; a FakeQuantize holds nothing but ranges.
        is_scale = kind == "FakeQuantize" or bool(codes and (main is None or main.stored not in codes))
        sizes, scales = sizes + (0 if is_scale else each.get_byte_size()), scales + (each.get_byte_size() if is_scale else 0)
        if is_scale:
            weights[each.get_friendly_name()] = None
    return Part(name, kind, sizes, scales, tuple(found for found in weights.values() if found))


def _weight(constant: Any, zeros: dict[str, Any]) -> Weight | None:
    stored = _type(constant)
    zero = zeros.get(constant.get_friendly_name())
    return weight(_values(constant), stored, _values(zero) if zero is not None else 0)


def _type(constant: Any) -> str:
    return TYPES.get(constant.get_output_element_type(0).get_type_name(), "other")


def _values(constant: Any) -> Array:
    """The constant's numbers; of fewer than eight bits, one a byte. A single bit is +-1."""
    bits, shape = constant.get_output_element_type(0).bitwidth, list(constant.get_output_shape(0))
    data: Array = constant.get_data()
    if bits >= 8:
        return data
    codes = unpacked(data.tobytes(), bits, int(np.prod(shape))).reshape(shape)
    if bits == 1:
        return 2 * codes.astype(np.int8) - 1
    return signed(codes, bits) if _type(constant).startswith("int") else codes


def profile(files: list[Path], inputs: Arrays, threads: int) -> list[Ran] | str:
    """What a model compiled with counters says: otherwise the same settings as the one that is timed."""
    core = library().Core()
    model = core.read_model(*map(str, files[:2]))
    owners = {each.get_friendly_name(): part.get_friendly_name() for part, mine in _owned(model, {}) for each in mine}
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERF_COUNT": True,
    }
    compiled = core.compile_model(model, "CPU", settings)
    request, totals = compiled.create_infer_request(), list[dict[str, float]]()
    for calls in (COLD, CALLS):
        for _ in range(calls - COLD if totals else calls):
            request.infer(inputs)
        totals.append({each.node_name: calls * 1e3 * each.real_time.total_seconds() for each in request.profiling_info})
    kinds = {each.node_name: each.node_type for each in request.profiling_info}
    times = {name: max(0.0, (totals[1][name] - cold) / (CALLS - COLD)) for name, cold in totals[0].items()}
    return list(_ran(compiled.get_runtime_model(), times, kinds, owners))


def _ran(graph: Any, times: dict[str, float], kinds: dict[str, str], owners: dict[str, str]) -> Iterator[Ran]:
    """A matrix product is named after the addition that it swallowed: it is known by its constants, too."""
    for operation in graph.get_ordered_ops():
        facts, name = operation.get_rt_info(), operation.get_friendly_name()
        told = {key: facts[key].astype(str) for key in ("layerType", "originalLayersNames", "primitiveType") if key in facts}
        if name not in times or told.get("layerType") in ("Input", "Output", "Const"):
            continue
        read = [value.get_node().get_friendly_name() for value in operation.input_values()]
        names = (name, *told.get("originalLayersNames", "").split(","))
        parts = (*(each.split("/")[0] for each in names if each), *(owners[each] for each in read if each in owners))
        kind = kinds.get(name) or told.get("layerType", "")
        yield Ran(name, kind, parts, _computed(told.get("primitiveType", "")), times[name])


def _computed(primitive: str) -> str | None:
    """By the end of the name of what the plugin chose: brgconv_avx512_I8, jit_avx2_f32, ref_any_f32."""
    return COMPUTED.get({"fp32": "f32"}.get(end := primitive.rpartition("_")[2].lower(), end))


def smallest(folder: Path) -> list[Path] | None:
    """One Relu of one number."""
    openvino = library()
    from openvino import opset13

    given = opset13.parameter([1, 1], np.float32, name="x")
    openvino.save_model(
        openvino.Model([opset13.relu(given)], [given], "smallest"), folder / "smallest.xml", compress_to_fp16=False
    )
    return [folder / "smallest.xml", folder / "smallest.bin"]
