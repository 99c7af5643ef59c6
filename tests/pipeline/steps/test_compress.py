"""What a technique found out while it worked stands beside its options, and never in their place."""

from __future__ import annotations

from pathlib import Path

from pipeline import model_file

NOTING = '''
from dataclasses import dataclass
from typing import final
from pipeline.core import Promise, Technique

@final
@dataclass(frozen=True)
class Noting(Technique):
    """Changes nothing and has much to say."""
    size: int = 3

    def apply(self, model, context):
        return model.after({"seen": 7, "step": "another", "options": {"size": 99}})

    def promise(self, before, after):
        return Promise(1.0, 1.0, ())
'''


def test_what_a_technique_notes_hides_neither_its_name_nor_its_options(step, trained, tmp_path: Path) -> None:
    (tmp_path / "noting.py").write_text(NOTING)
    chosen = {"kind": "technique", "name": str(tmp_path / "noting.py"), "options": {"size": 3}}
    made = step("compress", trained, trained, technique=chosen, train={}, device="cpu")
    last = model_file.load(made.folder).history[-1]
    assert (last["step"], last["options"], last["seen"]) == (chosen["name"], {"size": 3}, 7)
    assert made.facts["noted"]["seen"] == 7
