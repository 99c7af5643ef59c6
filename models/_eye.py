"""Our own trained classifiers, as judges of pictures see with them: kept with the project, so that every machine has the same.

Nothing that they say compares with figures of another network's features, such as Inception's.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from models import lenet5, resnet8  # noqa: F401  # what the eyes are: a change of these changes what is seen
from models._picture import shape_of
from pipeline import model_file
from pipeline.core import Domain
from pipeline.errors import UserError

FOLDER = Path(__file__).parent / "eyes"
"""A folder a data set, each a model as `model_file` writes them; `python -m pipeline.bench.eyes` makes them."""


class Eye(nn.Module):
    """A frozen classifier of prepared pictures [N, C, H, W]."""

    def __init__(self, name: str, classifier: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.classifier = classifier.eval().requires_grad_(False)

    def layers(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """What each of its parts makes of them, in order; the last are the logits [N, classes], gradients pass."""
        found = []
        for part in self.classifier.children():
            pictures = part(pictures)
            found.append(pictures)
        return found

    def logits(self, pictures: torch.Tensor) -> torch.Tensor:
        """[N, classes]."""
        return self.layers(pictures)[-1]


@lru_cache
def eye(data: str) -> Eye:
    """The eye for a data set's prepared pictures. UserError where there is none."""
    there = sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir())
    if data not in there:
        raise UserError(
            f"{data}: no eye looks at its pictures; there are {', '.join(there)}; python -m pipeline.bench.eyes {data} makes one"
        )
    model = model_file.load(FOLDER / data)
    return Eye(Path(model.family.name).stem, model.module)


def shape_for(
    wanted: str, domain: Domain, who: str, divisor: int = 1, *, labelled: bool = False, least: int = 1
) -> tuple[int, int, int]:
    """`shape_of` pictures at which an eye of that architecture looks. UserError, before any work, for all others."""
    shape = shape_of(domain, who, divisor, labelled=labelled, least=least)
    if (found := eye(domain.name).name) != wanted:
        raise UserError(f"{who}: the eye for {domain.name} is a {found}; it is judged in the features of a {wanted}")
    return shape
