"""What the kernels' study found, for a person: its tables, its medians, and the aims beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from pipeline.core import Json

COLUMNS = (("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("litert", "fp32"), ("openvino", "fp32"), ("openvino", "int8"))
WIDE = 128
"""Channels from which on the aims hold: below, what surrounds the products weighs as much as they do."""
AIMS = {"times_fp32": 6.5, "times_int8": 3.3}
AIM_BYTES, AIM_WHOLE = 25, 5


def medians(rows: Sequence[Json]) -> dict[str, Json]:
    """Of each way of ours, of the chains that are wide enough for the aims, over all runtimes."""
    found = dict[str, Json]()
    for ours in dict.fromkeys(map(way, rows)):
        wide = [row for row in rows if way(row) == ours and row["channels"] >= WIDE]
        known = {aim: [row[aim] for row in wide if row[aim] is not None] for aim in AIMS}
        found[ours] = {aim: float(np.median(values)) for aim, values in known.items() if values}
    return found


def way(row: Json) -> str:
    """What of ours is compared, and what the rivals may use."""
    return f"{row['binary']}, rival too" if row.get("held_to") else str(row["binary"])


def table(summary: Json) -> Table:
    """What a person reads: each net and each way of ours, and how many times as long the others take."""
    ceiling = ", ".join(f"{name} {each['times_fp32']:.1f}x" for name, each in summary["ceiling"].items())
    rows = Table(
        title="Times as long as in +-1 (one thread, one sample)", caption=f"fp32, at most, from registers alone: {ceiling}"
    )
    for heading in ("net", "in +-1 by", "ms"):
        rows.add_column(heading)
    for runtime, kind in COLUMNS:
        rows.add_column(f"{runtime} {kind}", justify="right")
    rows.add_column("file", justify="right")
    rows.add_column("memory, MB", justify="right")
    nets: dict[tuple[str, str], dict[str, Json]] = {}
    for row in (*summary["results"], *summary["whole_network"]):
        net = row.get("network") or f"{row['channels']} ch, {row['size']} px"
        nets.setdefault((net, way(row)), {})[row["runtime"]] = row
    for (net, ours), found in nets.items():
        cells = [_times(found[runtime], kind) if runtime in found else "" for runtime, kind in COLUMNS]
        first = next(iter(found.values()))
        smaller = f"{first['bytes_fp32'] / first['bytes_binary']:.1f}x less"
        memory = f"{first['peak_bytes_binary'] / 1e6:.1f} of {first['peak_bytes_fp32'] / 1e6:.1f}"
        rows.add_row(net, ours, f"{first['ms']:.3f}", *cells, smaller, memory)
    return rows


def _times(row: Json, kind: str) -> str:
    return f"{row['times_int8']:.1f}" if kind == "int8" else f"{row['times_fp32']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"


def verdicts(summary: Json) -> Table:
    """The aims, and what was found."""
    rows = Table(title=f"Medians of the chains of {WIDE} channels and more")
    for heading in ("binary by", "aim", "found", ""):
        rows.add_column(heading)
    for ours, found in summary["medians"].items():
        for aim, value in found.items():
            wanted = AIMS[aim]
            rows.add_row(ours, f"{aim.replace('times_', '')}: {wanted:g}x", f"{value:.2f}x", _met(value >= wanted))
    for row in summary["whole_network"]:
        met = _met(row["times_fp32"] >= AIM_WHOLE)
        rows.add_row("onnxruntime packed", f"vgg_small, {row['runtime']} fp32: {AIM_WHOLE}x", f"{row['times_fp32']:.2f}x", met)
    least = min(row["bytes_fp32"] / row["bytes_binary"] for row in summary["results"] if row["binary"] != "onnxruntime packed")
    rows.add_row("packed", f"bytes on disk: {AIM_BYTES}x fewer", f"{least:.1f}x", _met(least >= AIM_BYTES))
    return rows


def _met(met: bool) -> str:
    return "[green]met[/]" if met else "[red]missed[/]"
