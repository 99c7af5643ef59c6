"""The store's commands: list, collect, check."""

from __future__ import annotations

import time

from rich.console import Console
from rich.table import Table

from pipeline.places import store_root
from pipeline.progress import bar
from pipeline.store import Corrupt, Store


def listing() -> None:
    """Prints every entry, the newest last."""
    store = Store(store_root())
    table = Table("key", "kind", "what", "bytes", "made", box=None)
    entries = sorted(store.entries(), key=lambda entry: entry.created)
    for entry in entries:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created))
        table.add_row(entry.key[:12], entry.kind, entry.label, f"{entry.bytes:,}", made)
    console = Console()
    console.print(table)
    console.print(
        f"{len(entries)} entries, {sum(entry.bytes for entry in entries) / 1e6:.1f} MB in {store.root}", highlight=False
    )


def collect(older_than_days: float) -> None:
    """Removes what was not used lately."""
    store = Store(store_root())
    removed, freed = store.collect(older_than_days)
    Console().print(f"removed {removed} entries, {freed / 1e6:.1f} MB freed in {store.root}", highlight=False)


def check(repair: bool) -> int:
    """Verifies every byte; 0 when all is right (or was repaired), 1 when not."""
    store, console = Store(store_root()), Console()
    keys, wrong = store.keys(), 0
    with bar(console, "verifying") as progress:
        for index, key in enumerate(keys):
            progress(index, len(keys))
            try:
                store.get(key)
            except Corrupt as error:
                wrong += 1
                console.print(str(error), style="red", markup=False, highlight=False)
                if repair:
                    store.mend(key)
    fate = " (removed; the next run rebuilds them)" if repair and wrong else ""
    console.print(f"{len(keys)} entries, {wrong} wrong{fate} in {store.root}", highlight=False)
    return 1 if wrong and not repair else 0
