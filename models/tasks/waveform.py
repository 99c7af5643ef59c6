"""Models of sound, sample by sample: how many bits they need, and sounds that they make. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.tasks import _linear_prediction, _mean, _mu_law, _sounds
from models.tasks.decode import Step, log_softmax, sample
from pipeline.core import Array, Arrays, Detail, Example, Predict

STEPS = 32
"""The last samples of a sound, which are read one by one."""
ROWS = 8
"""Sounds whose logits are in memory at a time."""
BEGINNING = 800
"""Samples of the recording that an example goes on with."""
RATE = 8000
"""Samples a second."""
SEED = 0
"""Of the examples: the same for every model and file, so that a person can compare them."""


@dataclass(frozen=True)
class Waveform(_mean.Averaged):
    """Mean of -log2 p(code | those before it, label) over the samples of all sounds, bits; silence before them is not judged.

    The graph "prefill" reads codes int64 [1, length - STEPS] and a label int64 [1] -> logits [1, length - STEPS, 256] of what
    follows each, queues [1, sum of dilations, channels]: what each layer saw last, oldest first. "step" reads one code [1], the
    label and `past` [1, layers, channels], the front of each queue -> logits [1, 256] and `present`, which is pushed onto them.
    Beside the metric stands what a linear predictor that was fitted to each sound itself needs for the same samples.
    """

    length: int
    """Codes of a sound."""
    dilations: tuple[int, ...]
    channels: int
    metric: ClassVar[str] = "bits_per_sample"
    unit: ClassVar[str] = "bits"
    higher_is_better: ClassVar[bool] = False
    margin: ClassVar[float] = 0.02

    @property
    def known(self) -> int:
        """How many codes the prefill reads."""
        return self.length - STEPS

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Evidence, a row a sound: its judged samples and the bits of all, of those read one by one, of a linear predictor."""
        parts = [
            self._bits(predictors, *(samples[name][first : first + ROWS] for name in ("codes", "label")))
            for first in range(0, len(samples["codes"]), ROWS)
        ]
        bits = np.concatenate(parts)
        judged = np.arange(self.length) >= samples["start"][:, None]
        linear = [_linear_prediction.bits(row[start:]) for row, start in zip(samples["codes"], samples["start"], strict=True)]
        last = judged[:, self.known :]
        return {
            "bits": (bits * judged).sum(axis=1),
            "samples": judged.sum(axis=1),
            "step_bits": (bits[:, self.known :] * last).sum(axis=1),
            "steps": last.sum(axis=1),
            "linear_bits": np.array(linear),
        }

    def _bits(self, predictors: Mapping[str, Predict], codes: Array, label: Array) -> Array:
        """Of every code [N, length]."""
        before = np.pad(codes[:, :-1], ((0, 0), (1, 0)), constant_values=_mu_law.SILENCE)
        read, state = self._read(predictors, before[:, : self.known], label)
        step, logits = self._step(predictors), [read]
        for place in range(self.known, self.length):
            each, state = step(before[:, place], state)
            logits.append(each[:, None])
        likelihood = log_softmax(np.concatenate(logits, axis=1).astype(np.float64))
        found: Array = -np.take_along_axis(likelihood, codes[..., None], axis=-1)[..., 0] / np.log(2)
        return found

    def _read(self, predictors: Mapping[str, Predict], codes: Array, label: Array) -> tuple[Array, Arrays]:
        """Logits of what follows each of the codes [N, known], and the state after the last."""
        outputs = predictors["prefill"]({"codes": codes, "label": label})
        return outputs["logits"], {"label": label, "queues": outputs["queues"].copy(), "read": np.zeros(1, np.int64)}

    def _step(self, predictors: Mapping[str, Predict]) -> Step:
        """One code more. A queue is a ring: its oldest entry is read, and what the layer sees now is written in its place."""
        dilations = np.array(self.dilations)
        first = np.cumsum(dilations) - dilations

        def run(codes: Array, state: Arrays) -> tuple[Array, Arrays]:
            front = first + state["read"] % dilations
            outputs = predictors["step"]({"code": codes, "label": state["label"], "past": state["queues"][:, front]})
            state["queues"][:, front] = outputs["present"]
            return outputs["logits"], {**state, "read": state["read"] + 1}

        return run

    def numbers(self, evidence: Arrays) -> tuple[Array, Array]:
        """Bits over samples; the sounds are taken as independent."""
        return evidence["bits"], evidence["samples"]

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """The linear predictor's bits, what is saved of them, and the bits of the samples that were read one by one."""
        linear, samples = evidence["linear_bits"], evidence["samples"]
        return (
            _mean.detail("bits of a linear predictor", linear, samples),
            _mean.detail("saved, bits", linear - evidence["bits"], samples),
            *([_mean.detail("bits, one by one", evidence["step_bits"], evidence["steps"])] if evidence["steps"].any() else ()),
        )

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """The first sample's beginning gone on with; then each sample's digit, said from silence."""
        codes, label, start = (samples[name] for name in ("codes", "label", "start"))
        sound = codes[0, start[0] :]
        beginning = sound[: min(BEGINNING, max(1, len(sound) // 2))]
        known = np.full((1 + len(codes), self.known + 1), _mu_law.SILENCE)
        known[0, -len(beginning) :] = beginning
        _, state = self._read(predictors, known[:, :-1], np.concatenate([label[:1], label]))
        made = sample(self._step(predictors), known[:, -1], state, self.length, np.random.default_rng(SEED))
        whole = np.concatenate([beginning, made[0, : self.length - len(beginning)]])
        return (
            Example(_sound(beginning), _sound(whole, made=True), _sound(sound)),
            *(Example(f"say {digit}", _sound(row, made=True)) for digit, row in zip(label, made[1:], strict=True)),
        )


def _sound(codes: Array, made: bool = False) -> str:
    """To be listened to; what a model made says so."""
    waveform = _mu_law.decode(codes)
    return _sounds.generated(waveform, RATE) if made else _sounds.recorded(waveform, RATE)
