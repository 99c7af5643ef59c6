"""The judge of sounds: known bits, queues that hold what was heard, and no bit for silence."""

from __future__ import annotations

import base64
from collections.abc import Callable

import numpy as np
import pytest

from models.tasks import _mu_law
from models.tasks._sounds import THRESHOLD, score
from models.tasks.waveform import STEPS, Waveform
from pipeline.core import Array, Arrays, Predict
from tests.models.tasks.test_sounds import samples as played

DILATIONS, LENGTH = (1, 2, 4), 96
REACH = sum(DILATIONS)
TASK = Waveform(LENGTH, DILATIONS, 1)


def one_hot(code: Array) -> Array:
    """Logits that are as good as sure."""
    return np.where(np.arange(256) == code[..., None], 30.0, 0.0).astype(np.float32)


def heard(codes: Array, label: Array) -> Array:
    """What a network says that tells the sum of what each layer hears: the code, and that 1, 2 and 4 before, plus the label."""
    padded = np.pad(codes, ((0, 0), (max(DILATIONS), 0)))
    before = sum(padded[:, max(DILATIONS) - d : max(DILATIONS) - d + codes.shape[1]] for d in DILATIONS)
    return np.asarray((codes + before + label[:, None]) % 256)


def predictors(logits: Callable[[Array], Array] = one_hot) -> dict[str, Predict]:
    """A network of three layers, all of which hear the very codes."""

    def prefill(inputs: Arrays) -> Arrays:
        codes = inputs["codes"]
        assert codes.shape[1] == TASK.known
        queues = np.concatenate([np.pad(codes, ((0, 0), (d, 0)))[:, -d:] for d in DILATIONS], axis=1)
        return {"logits": logits(heard(codes, inputs["label"])), "queues": queues[..., None].astype(np.float32)}

    def step(inputs: Arrays) -> Arrays:
        code, past = inputs["code"], inputs["past"]
        assert past.shape[1:] == (len(DILATIONS), 1)
        said = (code + past[..., 0].sum(axis=1).astype(np.int64) + inputs["label"]) % 256
        return {"logits": logits(said), "present": np.repeat(code[:, None, None], len(DILATIONS), axis=1).astype(np.float32)}

    return {"step": step, "prefill": prefill}


def sounds(count: int, start: int = 0) -> Arrays:
    """What the network above says when it is left alone."""
    label = np.arange(1, count + 1)
    codes = np.full((count, LENGTH), _mu_law.SILENCE)
    for place in range(start, LENGTH):
        before = np.pad(codes[:, :place], ((0, 0), (1, 0)), constant_values=_mu_law.SILENCE)
        codes[:, place] = heard(before, label)[:, -1]
    return {"codes": codes, "label": label, "start": np.full(count, start)}


@pytest.mark.parametrize("count", [1, 3, 11])
def test_what_is_known_for_sure_costs_nothing_in_the_prefill_and_in_the_steps(count: int) -> None:
    evidence = TASK.collect(predictors(), sounds(count))
    assert evidence["bits"] == pytest.approx(np.zeros(count), abs=1e-6)
    assert evidence["step_bits"] == pytest.approx(np.zeros(count), abs=1e-6)
    assert evidence["samples"].tolist() == [LENGTH] * count and evidence["steps"].tolist() == [STEPS] * count


def test_one_wrong_code_is_missed_where_it_is_and_where_it_is_heard() -> None:
    wrong = sounds(1)
    place = LENGTH - 10
    wrong["codes"][0, place] = (wrong["codes"][0, place] + 100) % 256
    evidence = TASK.collect(predictors(), wrong)
    missed = 30 / np.log(2)
    assert evidence["bits"] == pytest.approx([missed * (2 + len(DILATIONS))]) == evidence["step_bits"]


def test_who_knows_nothing_needs_eight_bits() -> None:
    evidence = TASK.collect(predictors(lambda code: np.zeros((*code.shape, 256), np.float32)), sounds(4))
    assert TASK.value(evidence) == pytest.approx(8)
    assert [detail.value for detail in TASK.details(evidence)][2] == pytest.approx(8)


def test_silence_before_the_sound_is_not_judged() -> None:
    evidence = TASK.collect(predictors(), sounds(2, start=50))
    assert evidence["samples"].tolist() == [LENGTH - 50] * 2
    assert TASK.value(evidence) == pytest.approx(0, abs=1e-6), "all that is before is told wrongly"
    short = TASK.collect(predictors(), sounds(1, start=LENGTH - 5))
    assert short["steps"].tolist() == [5]


def test_the_linear_predictor_stands_beside_and_fewer_bits_are_better() -> None:
    evidence = {
        "bits": np.array([50.0, 70.0]),
        "samples": np.array([10, 10]),
        "step_bits": np.array([6.0, 6.0]),
        "steps": np.array([1, 1]),
        "linear_bits": np.array([60.0, 90.0]),
    }
    assert TASK.value(evidence) == 6
    told = {detail.metric: detail.value for detail in TASK.details(evidence)}
    assert told == {"bits of a linear predictor": 7.5, "saved, bits": 1.5, "bits, one by one": 6.0}
    assert TASK.difference({**evidence, "bits": evidence["bits"] + 10}, evidence)[0] == pytest.approx(-1)


def test_a_linear_predictor_is_asked_for_the_sound_alone() -> None:
    random = np.random.default_rng(0)
    sound = _mu_law.encode(random.uniform(-1, 1, (1, 60)))
    at_end = {"codes": np.pad(sound, ((0, 0), (LENGTH - 60, 0)), constant_values=7), "label": np.zeros(1, np.int64)}
    evidence = TASK.collect(predictors(), {**at_end, "start": np.array([LENGTH - 60])})
    other = {**at_end, "codes": np.pad(sound, ((0, 0), (LENGTH - 60, 0)), constant_values=9)}
    assert evidence["linear_bits"] == TASK.collect(predictors(), {**other, "start": np.array([LENGTH - 60])})["linear_bits"]


def test_examples_go_on_with_a_recording_and_speak_from_silence() -> None:
    given = sounds(3)
    on, *said = TASK.examples(predictors(), given)
    beginning, made, wanted = (played(text) for text in (on.given, on.made, on.wanted or ""))
    assert len(beginning) == LENGTH // 2 and len(made) == len(wanted) == LENGTH
    np.testing.assert_array_equal(beginning, wanted[: LENGTH // 2])
    # A network that is sure goes on as the recording did; the mark is all that differs.
    assert np.corrcoef(made, wanted)[0, 1] > 0.95
    assert [example.given for example in said] == ["say 1", "say 2", "say 3"]
    assert TASK.examples(predictors(), given) == (on, *said)
    assert b"AI-generated" in base64.b64decode(on.made.split(",")[1])
    assert b"AI-generated" not in base64.b64decode(on.given.split(",")[1])


def test_what_is_said_is_drawn_and_marked() -> None:
    task = Waveform(4096, DILATIONS, 1)

    def unsure(code: Array) -> Array:
        return np.asarray(-np.square((np.arange(256) - 128 - (code[..., None] - 128) / 8) / 20), np.float32)

    def prefill(inputs: Arrays) -> Arrays:
        return {"logits": unsure(inputs["codes"]), "queues": np.zeros((len(inputs["codes"]), REACH, 1), np.float32)}

    def step(inputs: Arrays) -> Arrays:
        return {"logits": unsure(inputs["code"]), "present": np.zeros((len(inputs["code"]), 3, 1), np.float32)}

    given = {"codes": np.full((2, 4096), 128), "label": np.array([3, 3]), "start": np.zeros(2, np.int64)}
    _, first, second = task.examples({"step": step, "prefill": prefill}, given)
    assert first.made != second.made
    assert min(score(played(first.made)), score(played(second.made))) > THRESHOLD
