from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from pipeline import preview
from pipeline.plan import Plan, Step, make
from pipeline.recipe import read
from pipeline.store import Store


@pytest.fixture
def plan(tiny_recipe: Path, tmp_path: Path) -> Plan:
    return make(read(tiny_recipe), "cpu", tmp_path, {"onnxruntime": None, "torch": "no torch today"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, step: Step, key: str = "", seconds: float = 30) -> None:
    key = key or step.key
    with store.writing(key) as folder:
        (folder / "weights").write_bytes(b"12345678")
        store.commit(folder, key, kind=step.kind, label=step.label, inputs=(), seconds=seconds, facts={"n": 1})


def shown(plan: Plan, state: preview.State) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(preview.tree(plan, state))
    return capture.get()


def test_what_is_there_is_cached_with_its_facts(plan: Plan, store: Store) -> None:
    put(store, plan.steps[0])
    state = preview.inspect(plan, store, mend=False)
    assert list(state.cached) == [plan.steps[0].key]
    assert state.cached[plan.steps[0].key].facts == {"n": 1} and state.damaged == ()
    assert "train: cached" in shown(plan, state) and "7 steps to run" in shown(plan, state)


def test_time_is_what_the_newest_step_of_the_same_label_took(plan: Plan, store: Store) -> None:
    put(store, plan.steps[0], "older", seconds=500)
    put(store, plan.steps[0], "newer", seconds=42)
    state = preview.inspect(plan, store, mend=False)
    assert state.cached == {} and state.expected == {plan.steps[0].key: 42}
    assert "8 steps to run, about 42 s of work known" in shown(plan, state)
    assert "train: will run (about 42 s)" in shown(plan, state)


@pytest.mark.parametrize("mend", [True, False])
def test_what_is_damaged_would_run_again_and_is_removed_only_for_a_real_run(plan: Plan, store: Store, mend: bool) -> None:
    for step in plan.steps[:1]:
        put(store, step)
        (store.path(step.key) / "weights").write_bytes(b"12345679")
    state = preview.inspect(plan, store, mend=mend)
    assert state.cached == {} and len(state.damaged) == 1
    assert "digits quick mlp: train" in state.damaged[0] and "weights" in state.damaged[0]
    assert store.keys() == ([] if mend else [plan.steps[0].key])


def test_a_step_that_variants_share_is_shown_once_and_a_missing_runtime_with_its_reason(plan: Plan, store: Store) -> None:
    text = shown(plan, preview.inspect(plan, store, mend=False))
    assert text.count("train:") == 1 and "measure in torch: no torch today" in text
    steps = preview.as_json(plan, preview.inspect(plan, store, mend=False))["steps"]
    assert [step["cached"] for step in steps] == [False] * len(plan.steps)
    assert {step["kind"] for step in steps} == {"train", "compress", "export", "evaluate", "sensitivity"}
