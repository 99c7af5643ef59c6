"""Pictures in another's style: made anywhere, in numpy, and looked at by our own classifier, with torch, on the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

import numpy as np

from models.tasks import _mean, _pictures
from models.tasks.classification import wilson
from pipeline.core import Array, Arrays, Detail, Example, Predict

if TYPE_CHECKING:
    from models._style import Style

TOGETHER = 500
"""Pictures that the eye looks at in one go."""
KEPT = 4
"""Evidences whose losses are remembered: value, interval and details look at the same one."""
SHOWN = 4
"""Times that a pixel is enlarged."""


@dataclass(frozen=True)
class Stylization(_mean.Averaged):
    """The style loss of the made pictures over that of the given ones: 1 where nothing was done, nearly 0 for the style itself.

    The loss is that of windows' Gram matrices in the features of our own classifier, the eye for the data
    (models/_perception.py). Beside it: how often the eye sees the same class in the made picture as in the given one, and the
    content loss, 0 where every feature is where it was. Source: J. Johnson et al. (2016, arXiv:1603.08155).
    """

    graph: str
    data: str
    """Of the eye that looks (models/_eye.py)."""
    style: str
    input: str
    dark: float
    """What the prepared pixels lie between."""
    bright: float
    metric: ClassVar[str] = "style_left"
    unit: ClassVar[str] = "of the given pictures' style loss"
    higher_is_better: ClassVar[bool] = False
    margin: ClassVar[float] = 0.005

    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Prepared pictures [N, C, H, W] -> {"given", "made"}: uint8 [N, C, H, W] both, 0 to 255."""
        given = samples[self.input]
        made = predictors[self.graph]({self.input: given})["stylized"]
        return {"given": self._levels(given), "made": self._levels(made)}

    def numbers(self, evidence: Arrays) -> tuple[Array, Array]:
        """Style losses of the made pictures, and of the given ones: the metric is the ratio of their sums."""
        found = self._look(evidence)
        return found.style, found.before

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """Whether the eye sees what it saw, and how much moved."""
        found = self._look(evidence)
        kept = found.kept
        return (
            Detail("agreement of the classifier with itself", float(kept.mean()), *wilson(int(kept.sum()), len(kept))),
            _mean.detail("content loss", *_mean.alike(found.content)),
            _mean.detail("style loss of the given pictures", *_mean.alike(found.before)),
        )

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """The first pictures, and what became of them."""
        found = {name: each / 255 for name, each in self.collect(predictors, samples).items()}
        count = len(found["given"])
        return (Example(_pictures.sheet(found["given"], count, SHOWN), _pictures.generated(found["made"], count, SHOWN)),)

    def _levels(self, pictures: Array) -> Array:
        return _pictures.levels(_pictures.brightness(pictures.astype(np.float64), self.dark, self.bright))

    def _look(self, evidence: Arrays) -> Looked:
        given, made = evidence["given"], evidence["made"]
        return _looked(self, given.shape, given.tobytes(), made.tobytes())


class Looked(NamedTuple):
    """What the eye says of each row, [N] each."""

    style: Array
    before: Array
    """The style loss of the given picture."""
    content: Array
    kept: Array
    """Whether the class stayed, bool."""


@lru_cache(maxsize=KEPT)
def _looked(task: Stylization, shape: tuple[int, ...], given: bytes, made: bytes) -> Looked:
    import torch

    from models import _perception

    pixels = (task.dark, task.bright)
    pictures = [torch.from_numpy(np.frombuffer(levels, np.uint8).reshape(shape).copy()) for levels in (given, made)]
    goal = _perception.wanted(task.data, cast("Style", task.style), torch.zeros(1, *shape[1:]), pixels)
    parts: list[Looked] = []
    with torch.no_grad():
        for start in range(0, shape[0], TOGETHER):
            prepared = (each[start : start + TOGETHER].float() / 255 * (task.bright - task.dark) + task.dark for each in pictures)
            before, after = (_perception.seen(task.data, each) for each in prepared)
            found = (
                _perception.style_loss(after, goal).double(),
                _perception.style_loss(before, goal).double(),
                _perception.content_loss(after, before).double(),
                before.logits.argmax(1) == after.logits.argmax(1),
            )
            parts.append(Looked(*(each.numpy() for each in found)))
    return Looked(*map(np.concatenate, zip(*parts, strict=True)))
