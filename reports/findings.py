"""What an exported file and its measurements say of a gain that did not show. No sentence without its evidence in the record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from reports import words
from reports.record import Anatomy, Kind, Record

About = Literal["file", "bundle", "memory", "time"]
RECURRENT = ("GRU", "LSTM", "RNN", "GRUSequence", "LSTMSequence", "RNNSequence", "GRUCell", "LSTMCell")
LOOKUPS = ("Gather", "GATHER", "EMBEDDING_LOOKUP", "GatherBlockQuantized")
"""They copy rows: no arithmetic that a precision could make faster."""
CONVERSIONS = (
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QUANTIZE", "DEQUANTIZE", "FakeQuantize"),
    *("Cast", "CAST", "Convert", "Reorder", "ReorderInput", "ReorderOutput", "Transpose", "TRANSPOSE"),
)
"""They change how numbers are written or laid out, and compute nothing."""
MOST, MUCH, SOME, LITTLE = 0.5, 0.3, 0.1, 0.05
"""Shares from which on something is worth a sentence: of zeros, of the time, of the bytes."""


@dataclass(frozen=True)
class Finding:
    """One sentence, what it is about, and how much it explains: a share of the bytes or of the time."""

    about: tuple[About, ...]
    sentence: str
    share: float
    telling: bool = False
    """Said even where every promise was kept."""


def findings(record: Record, reference: Record | None) -> list[Finding]:
    """What there is to say of a cell, what explains most first. Nothing of a file that was not looked into."""
    found, compared = record.anatomy, reference.anatomy if reference else None
    if found is None:
        return []
    every = [
        *_sparse(found),
        *_restored(found),
        *_float(found, _quantized(record)),
        *_call(found),
        *_memory(found),
        *_operators(found),
        *_bytes(found),
        *_coding(record, found),
        *_peak(record, reference),
        *_dearest(found, compared),
    ]
    return sorted(every, key=lambda finding: -finding.share)


def _quantized(record: Record) -> bool:
    return any(str(step.get("technique", "")).startswith("quantize") for step in record.steps)


def _sparse(found: Anatomy) -> Iterator[Finding]:
    mostly = [kind for kind in found.kinds if kind.weights and (kind.zeros or 0) >= MOST]
    dense = [kind for kind in mostly if not (kind.stored or "").startswith("sparse")]
    if dense:
        weights = sum(kind.weights for kind in dense)
        zeros = sum((kind.zeros or 0) * kind.weights for kind in dense) / weights
        stored = " and ".join(dict.fromkeys(str(kind.stored) for kind in dense))
        sentence = f"no sparse kernel: {named(dense)} read{_s(dense)} dense {stored} weights that are {100 * zeros:.0f} % zeros"
        yield Finding(("time",), sentence, LITTLE, telling=True)  # nobody promises time of zeros: it explains least


def _restored(found: Anatomy) -> Iterator[Finding]:
    """Integers that become floats before they are multiplied."""
    kinds = [k for k in found.kinds if _codes(k.stored) and _floats(k.computed) and k.operator not in LOOKUPS]
    recurrent = [kind for kind in kinds if kind.operator in RECURRENT]
    for chosen in (recurrent, [kind for kind in kinds if kind not in recurrent]):
        if not chosen:
            continue
        stored, computed = _types(kind.stored for kind in chosen), _types(kind.computed for kind in chosen)
        time = sum(kind.time or 0 for kind in chosen)
        taking = f", and take{_s(chosen)} {_percent(time)} of the operators' time" if time >= SOME else ""
        what = "recurrent weights" if chosen is recurrent else "weights"
        sentence = (
            f"dequantized before use: {named(chosen)} compute{_s(chosen)} in {computed} with {what} stored as {stored}{taking}"
        )
        yield Finding(("time",), sentence, max(time, SOME), telling=True)
    if recurrent:  # both runtimes restore these when they load the file; others may do so a block at a time
        held, size = (words.kilobytes(sum(each)) for each in zip(*((4 * k.weights, k.bytes) for k in recurrent), strict=True))
        sentence = (
            f"{named(recurrent)} read{_s(recurrent)} {held} of float32 weights, restored from {size} when the file is loaded"
        )
        yield Finding(("memory",), sentence, MUCH)


def _float(found: Anatomy, quantized: bool) -> Iterator[Finding]:
    """Of a file with integers: the weights and the operators that have none."""
    codes = [kind for kind in found.kinds if _codes(kind.stored)]
    kept = [kind for kind in found.kinds if _floats(kind.stored)]
    size, every = sum(kind.bytes for kind in kept), max(1, found.constants + found.tables)
    about: tuple[About, ...] = ("file", "bundle", "memory", "time")
    if quantized and kept and not codes:
        yield Finding(about, f"no weight is stored in integers: {named(kept)} keep{_s(kept)} float weights", 1.0, telling=True)
    elif kept and codes:
        largest = max(kept, key=lambda kind: kind.bytes)
        sizes = f"{words.kilobytes(size)} of {words.kilobytes(found.file)}, the largest in {largest.largest}"
        sentence = f"stayed float: {named(kept)} keep{_s(kept)} {largest.stored} weights, {sizes}"
        yield Finding(about, sentence, size / every, telling=True)
    slow = [kind for kind in found.kinds if not kind.weights and _floats(kind.computed) and kind.operator not in CONVERSIONS]
    time = sum(kind.time or 0 for kind in slow)
    if codes and time >= SOME:
        taking = f"take{_s(slow)} {_percent(time)} of the operators' time"
        yield Finding(("time",), f"no integer kernel: {named(slow)} compute{_s(slow)} in float and {taking}", time)


def _call(found: Anatomy) -> Iterator[Finding]:
    """What a call costs before anything is computed."""
    if found.call_ms and found.smallest_ms and found.smallest_ms >= MUCH * found.call_ms:
        share = min(1.0, found.smallest_ms / found.call_ms)
        here, empty = words.milliseconds(found.call_ms), words.milliseconds(found.smallest_ms)
        what = "call-bound" if share >= MOST else f"{_percent(share)} of a call is the call itself"
        yield Finding(("time",), f"{what}: a graph of a single operator on one number takes {empty}, this one {here}", share)


def _memory(found: Anatomy) -> Iterator[Finding]:
    """Operators most of whose time goes by with reading their weights: fewer products would gain nothing, fewer bytes would.

    A convolution uses a weight many times, a product with a vector once, and so it is bound by the memory (Williams et al.
    2009, "Roofline"). What says so is the time itself, not the operator's name.
    """
    if not (found.operators_ms and found.read_ms and found.constants):
        return
    reading = found.read_ms / found.constants  # milliseconds a byte
    weighing = [(kind, kind.time * found.operators_ms) for kind in found.kinds if kind.weights and kind.time]
    bound = [(kind, taken) for kind, taken in weighing if reading * kind.bytes >= MOST * taken]
    taken, size = sum(taken for _, taken in bound), sum(kind.bytes for kind, _ in bound)
    if taken >= SOME * found.operators_ms:
        kinds = [kind for kind, _ in bound]
        sentence = (
            f"memory-bound: {named(kinds)} take{_s(kinds)} {words.milliseconds(taken)} for {words.kilobytes(size)} of weights, "
            f"which one thread only reads in {words.milliseconds(reading * size)} here"
        )
        yield Finding(("time",), sentence, taken / found.operators_ms)


def _operators(found: Anatomy) -> Iterator[Finding]:
    """Time that no compression of weights can shorten."""
    changing = [kind for kind in found.kinds if kind.operator in CONVERSIONS and kind.time]
    time = sum(kind.time or 0 for kind in changing)
    if time >= SOME:
        sentence = (
            f"{named(changing)} take{_s(changing)} {_percent(time)} of the operators' time to convert or lay out numbers anew"
        )
        yield Finding(("time",), sentence, time)
    bare = [kind for kind in found.kinds if not kind.weights and kind.time and kind.operator not in CONVERSIONS]
    time = sum(kind.time or 0 for kind in bare)
    if time >= MUCH:
        yield Finding(("time",), f"operators without weights take {_percent(time)} of the operators' time: {named(bare)}", time)


def _bytes(found: Anatomy) -> Iterator[Finding]:
    """What a file holds besides weights."""
    rest, size = found.file - found.constants - found.tables, words.kilobytes(found.file)
    besides = {"the description of the graph takes": rest, "scales and zero points take": found.tables}
    much = {what: each for what, each in besides.items() if found.file and each >= SOME * found.file}
    if much:
        total = sum(much.values())
        more = f", more than the {words.kilobytes(found.constants)} of weights" if total > found.constants else ""
        told = " and ".join(f"{what} {words.kilobytes(each)}" for what, each in much.items())
        yield Finding(("file", "bundle"), f"{told} of {size}{more}", total / found.file)
    bare = [kind for kind in found.kinds if not kind.weights and kind.bytes]
    other = sum(kind.bytes for kind in bare)
    if found.file and other >= SOME * found.file and found.tables < SOME * found.file:
        sentence = f"constants that are no weights take {words.kilobytes(other)} of {size}: those of {named(bare)}"
        yield Finding(("file", "bundle"), sentence, other / found.file)
    sentence = (
        f"of {size}, {words.kilobytes(found.constants)} are weights and other constants, {words.kilobytes(found.tables)} "
        f"scales and zero points, {words.kilobytes(rest)} the description of the graph"
    )
    yield Finding(("file",), sentence, 0.0)


def _coding(record: Record, found: Anatomy) -> Iterator[Finding]:
    clustered = any(step.get("technique") == "cluster" for step in record.steps)
    if clustered and not found.coded_file:
        sentence = (
            f"no coded file could be made: {found.codebooks} of the file's {found.matrices} weights hold few distinct values, "
            "and none lies in it as the model has it"
        )
        yield Finding(("bundle",), sentence, 1.0, telling=True)
    elif clustered and found.codebooks < found.matrices:
        sentence = f"only {found.codebooks} of the file's {found.matrices} weights hold few distinct values"
        yield Finding(("bundle",), sentence, 1 - found.codebooks / found.matrices)
    bundle = record.bytes.bundle
    if bundle and found.file == record.bytes.file:  # of several graphs only one was looked into
        coded, travels = words.kilobytes(found.coded), words.kilobytes(bundle)
        way = "in a coded file" if found.coded_file else "as a .tar.xz"
        sentence = f"value by value, the file's weights have {coded} of entropy, and {travels} travel {way}, the graph among them"
        yield Finding(("bundle",), sentence, max(0.0, 1 - found.coded / bundle))


def _peak(record: Record, reference: Record | None) -> Iterator[Finding]:
    sizes = reference.bytes if reference else None
    if sizes and sizes.peak_memory and sizes.file and sizes.file < SOME * sizes.peak_memory:
        peak, file = words.megabytes(sizes.peak_memory), words.saved(sizes.file)
        yield Finding(("memory",), f"the peak is the runtime's: {peak} with a reference file of {file}", 0.2)


def _dearest(found: Anatomy, compared: Anatomy | None) -> Iterator[Finding]:
    """What takes most of the time, beside the same in the reference."""
    weighing = [kind for kind in found.kinds if kind.weights]
    computed = _types(kind.computed for kind in weighing)
    if found.operators_ms is None and weighing and found.untimed:
        sentence = f"{named(weighing)} compute{_s(weighing)} in {computed}; what takes the time is not known: {found.untimed}"
        yield Finding(("time",), sentence, 0.0)
    timed = [kind for kind in weighing if kind.time]
    if found.operators_ms is None or not timed:
        return
    dearest = max(timed, key=lambda kind: kind.time or 0).operator
    here, there = _milliseconds(found, dearest), _milliseconds(compared, dearest) if compared else None
    before = f" and {words.milliseconds(there[0])} in {there[1]} in the reference" if there else ""
    if here:
        sentence = f"{dearest}, the dearest, takes {words.milliseconds(here[0])} in {here[1]}{before}, by the runtime's profiler"
        yield Finding(("time",), sentence, LITTLE / 2)


def _milliseconds(found: Anatomy, operator: str) -> tuple[float, str] | None:
    """What the operators of that name take together, and the types that they compute in."""
    mine = [kind for kind in found.kinds if kind.operator == operator and kind.time]
    return (
        (sum(kind.time or 0 for kind in mine) * found.operators_ms, _types(k.computed for k in mine))
        if mine and found.operators_ms
        else None
    )


def named(kinds: Sequence[Kind]) -> str:
    """`3 Conv, 2 Gemm and 1 GRU`, the dearest first."""
    counts = Counter[str]()
    for kind in sorted(kinds, key=lambda each: -each.bytes):
        counts[kind.operator] += kind.count
    parts = [f"{count} {operator}" for operator, count in counts.items()]
    return " and ".join([*([", ".join(parts[:-1])] if parts[1:] else []), *parts[-1:]])


def _types(found: Iterable[str | None]) -> str:
    return " and ".join(dict.fromkeys(each for each in found if each)) or "what is not known"


def _one(kinds: Iterable[Kind]) -> bool:
    return sum(kind.count for kind in kinds) == 1


def _s(kinds: Iterable[Kind]) -> str:
    """The ending of a verb."""
    return "s" if _one(kinds) else ""


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _codes(name: str | None) -> bool:
    return bool(name) and str(name).startswith(("int", "uint")) and name not in ("int32", "int64", "int16")


def _floats(name: str | None) -> bool:
    return bool(name) and str(name).startswith(("float", "bfloat"))
