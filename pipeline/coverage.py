"""Which reports there are, for the table of what was shown to work."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from pipeline.places import runs_root
from pipeline.registry import ROOT, names
from reports import coverage as covering
from reports.document import NAME, load

PUBLISHED = ROOT / "reports" / "published"


def coverage(reports: tuple[Path, ...], as_json: bool) -> None:
    """Prints the table of the reports given; of none, of all own runs from the oldest on and then of those published."""
    chosen = list(reports) or [*sorted(runs_root().glob(f"[!.]*/{NAME}")), *sorted(PUBLISHED.glob("*.json"))]
    chosen = [path for path in chosen if reports or not path.parent.is_symlink()]
    found = covering.coverage([(_title(path), load(path)) for path in chosen], names("model"))
    if as_json:
        print(json.dumps(covering.as_json(found), indent=1))
        return
    Console().print(covering.table(found))


def _title(path: Path) -> str:
    return path.parent.name if path.name == NAME else path.name
