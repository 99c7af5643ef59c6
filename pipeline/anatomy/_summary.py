"""A file's operators -> what a report holds of them: sums over all, a line a kind, and the largest one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pipeline.anatomy._parts import Part, coded_bytes, few_values
from reports.record import Anatomy, Kind, Layer

MOST = 12
"""Operators that are listed one by one."""


def summary(parts: Sequence[Part], sensitive: Mapping[str, float], most: int | None = MOST) -> Anatomy:
    """Everything but what the files and the clock say; `sensitive` is by the operator's name, `most` None lists them all."""
    timed = any(part.milliseconds is not None for part in parts)
    whole = sum(part.milliseconds or 0 for part in parts) or None
    layers = [_layer(part, whole, sensitive.get(part.name)) for part in parts]
    size = sum(part.bytes + part.tables for part in parts) or 1

    def weighs(layer: Layer) -> float:
        return max(layer.bytes / size, layer.time or 0)

    chosen = sorted(layers, key=weighs, reverse=True)[:most]
    weights = [weight for part in parts for weight in part.weights]
    return Anatomy(
        constants=sum(part.bytes for part in parts),
        tables=sum(part.tables for part in parts),
        coded=round(sum(map(coded_bytes, weights))),
        codebooks=sum(few_values(weight) for weight in weights),
        matrices=len(weights),
        kinds=_kinds(parts, whole),
        layers=[layer for layer in layers if layer in chosen],
        operators=len(parts),
        operators_ms=whole if timed else None,
    )


def _layer(part: Part, whole: float | None, sensitivity: float | None) -> Layer:
    count = sum(weight.values.size for weight in part.weights)
    return Layer(
        part.name,
        part.operator,
        part.bytes + part.tables,
        count,
        sum(weight.zeros for weight in part.weights) / count if count else None,
        _stored(part),
        part.computed,
        part.milliseconds / whole if whole and part.milliseconds is not None else None,
        sensitivity,
    )


def _stored(part: Part) -> str | None:
    """The type of most of its weights."""
    return max(part.weights, key=lambda weight: weight.values.size).stored if part.weights else None


def _kinds(parts: Sequence[Part], whole: float | None) -> list[Kind]:
    """Operators alike in what they do, store and compute in, the dearest first."""
    groups = defaultdict[tuple[str, str | None, str | None], list[Part]](list)
    for part in parts:
        groups[part.operator, _stored(part), part.computed].append(part)
    found = [_kind(*key, group, whole) for key, group in groups.items()]
    return sorted(found, key=lambda kind: (-(kind.time or 0), -kind.bytes))


def _kind(operator: str, stored: str | None, computed: str | None, group: list[Part], whole: float | None) -> Kind:
    count = sum(weight.values.size for part in group for weight in part.weights)
    zeros = sum(weight.zeros for part in group for weight in part.weights)
    times = [part.milliseconds for part in group if part.milliseconds is not None]
    return Kind(
        operator,
        len(group),
        sum(part.bytes + part.tables for part in group),
        count,
        zeros / count if count else None,
        stored,
        computed,
        sum(times) / whole if whole and times else None,
        max(group, key=lambda part: part.bytes).name,
    )
