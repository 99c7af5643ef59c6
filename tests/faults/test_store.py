from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUN = ("run", "tiny.toml", "--target", "few_samples")

pytestmark = pytest.mark.xdist_group("faults")


def test_two_runs_at_once_do_each_step_once(checkout: Any, tiny_recipe: Path, steps_run: Callable[[str], list[str]]) -> None:
    runs = [checkout.start(*RUN) for _ in range(2)]
    ends = [process.communicate(timeout=300) for process in runs]
    assert [process.returncode for process in runs] == [0, 0], ends
    assert [err for _, err in ends] == ["", ""]
    lines = "".join(out for out, _ in ends)
    # A step that the other run made shows as done in 0.0 s, or not at all when it was there from the start.
    made = steps_run(lines.replace("(0.0 s)", ""))
    assert len(made) == len(set(made)), sorted(made)
    assert len(checkout.created()) == 8
    assert "8 entries, 0 wrong" in checkout("store", "check").stdout
    reports = sorted(checkout.home.glob("runs/*/report.json"))
    assert len({path.resolve() for path in reports}) == 2
    found = [{cell["variant"]: cell["artifact_sha256"] for cell in json.loads(path.read_text())["records"]} for path in reports]
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize("which", ["classifier.onnx", "entry.json"])
def test_a_flipped_byte_is_named_and_exactly_that_entry_is_made_again(
    finished: Any, steps_run: Callable[[str], list[str]], which: str
) -> None:
    before = finished.created()
    victim = next(iter(sorted((finished.home / "store/objects").rglob("classifier.onnx")))).with_name(which)
    key = victim.relative_to(finished.home / "store/objects").parts[0]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0x10
    victim.write_bytes(content)

    checked = finished("store", "check")
    assert checked.returncode == 1 and "8 entries, 1 wrong" in checked.stdout
    dry = finished(*RUN, "--dry-run")
    for said in (checked.stdout, dry.stdout):
        assert key[:12] in said and which in said, said
    assert "1 steps to run" in dry.stdout and victim.read_bytes() == bytes(content), "looking changes nothing"

    done = finished(*RUN)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert which in done.stdout and "rebuilding it" in done.stdout
    after = finished.created()
    changed = {label for label in before if after[label] != before[label]}
    assert len(changed) == 1 and steps_run(done.stdout) == sorted(changed)
    assert "0 steps to run" in finished(*RUN, "--dry-run").stdout


def test_repair_removes_what_is_damaged_and_only_that(finished: Any) -> None:
    victim = sorted((finished.home / "store/objects").rglob("model.json"))[0]
    victim.write_bytes(b"{}")
    repaired = finished("store", "check", "--repair")
    assert repaired.returncode == 0 and "8 entries, 1 wrong (removed; the next run rebuilds them)" in repaired.stdout
    assert "7 entries, 0 wrong" in finished("store", "check").stdout
    assert "1 steps to run" in finished(*RUN, "--dry-run").stdout
