"""A run in which not everything works out: every cell has a result or a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

TECHNIQUE = """
from dataclasses import dataclass
from typing import final
from pipeline.core import Promise, Technique, Unsupported

@final
@dataclass(frozen=True)
class Refuse(Technique):
    politely: bool = True

    def apply(self, model, context):
        raise Unsupported("it has no [conv] layer") if self.politely else RuntimeError("shapes\\ndo not fit")

    def promise(self, before, after):
        return Promise(1.0, 1.0, "nowhere")
"""
VARIANT = """
[[variants]]
name = "lost"
steps = [{ technique = "refuse.py", politely = POLITELY }, { technique = "quantize_static" }]
"""


@pytest.mark.parametrize(("politely", "status", "code"), [("true", "unsupported", 0), ("false", "failed", 1)])
def test_a_variant_that_cannot_be_had_is_a_cell_with_its_reason_and_the_rest_is_there(
    finished: Any, politely: str, status: str, code: int
) -> None:
    folder = finished.home.parent
    (folder / "refuse.py").write_text(TECHNIQUE)
    recipe = (folder / "tiny.toml").read_text().split("[[variants]]")[0]
    (folder / "r.toml").write_text(recipe + VARIANT.replace("POLITELY", politely))
    done = finished("run", "r.toml", "--target", "few_samples", "--json")
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    cells = {cell["variant"]: cell for cell in json.loads(done.stdout)["records"]}
    reason = "it has no [conv] layer" if code == 0 else "RuntimeError: shapes do not fit"
    assert (cells["lost"]["status"], cells["lost"]["reason"]) == (status, reason)
    assert cells["lost"]["latency_ms"] is None and [step["technique"] for step in cells["lost"]["steps"]][1] == "quantize_static"
    assert cells["reference"]["status"] == "ok" and cells["reference"]["latency_ms"]["p50"] > 0
    assert f"digits quick mlp/lost: refuse: {status}: {reason}" in done.stderr
    assert done.stderr.count(reason.split()[-1]) == 1, "said once, not for every step that needed it"
