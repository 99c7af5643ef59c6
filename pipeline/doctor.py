"""What is here: versions, CPU features, threads, and each target: usable, or why not and what would make it usable."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.assemble import PACKAGES
from pipeline.core import Json, Spec
from pipeline.errors import UserError
from pipeline.places import data_root, home
from pipeline.plan import workers
from pipeline.registry import find, names
from pipeline.sources import version
from targets.device.host import facts

INFERENCE_FEATURES = ("avx2", "avx_vnni", "avx512_vnni", "neon", "dotprod")


def doctor(as_json: bool) -> None:
    """Prints the findings."""
    found = _examine()
    if as_json:
        print(json.dumps(found, indent=1))
        return
    console = Console()
    host = found["host"]
    console.print(f"[bold]{host['cpu']}[/bold], {host['cores']} cores ({found['workers']} used), {host['os']}", highlight=False)
    console.print(
        f"Python {found['python']}; results in {found['home']}, data sets in {found['data']['root']}\n", highlight=False
    )
    console.print(_table("package", found["versions"], lambda text: text or "[yellow]not installed"))
    console.print(_table("CPU feature", found["features"], lambda yes: "yes" if yes else "no"))
    console.print(_table("runtime", found["runtimes"], _usable))
    console.print(_table("target", found["targets"], _usable))
    console.print(_table("data set", found["data"]["sets"], _usable))


def _usable(reason: str | None) -> str:
    return "usable" if reason is None else f"[yellow]not usable:[/yellow] {reason}"


def _table(title: str, rows: Json, show: Callable[[Any], str]) -> Table:
    table = Table(title, "", box=None, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, show(value))
    return table


def _examine() -> Json:
    host = facts()
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "home": str(home()),
        "workers": workers(),
        "host": host,
        "features": {name: name in host["features"] for name in INFERENCE_FEATURES},
        "versions": {name.replace("_", "-"): version(name) for name in ("numpy", *PACKAGES, "torch_pruning")},
        "runtimes": {name: find("runtime", name)().missing() for name in names("runtime")},
        "targets": {name: Spec("target", name).build().usable() for name in names("target")},
        "data": {"root": str(data_root()), "sets": {name: _missing_data(name) for name in names("data")}},
    }


def _missing_data(name: str) -> str | None:
    try:
        source = Spec("data", name).build()
        files: list[Path] = source.files(data_root())
    except UserError as error:
        return str(error)
    return None if files else "it names no files"
