"""Full fine-tuning: every weight is trained on, on the recipe's data."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Annotated, final

from annotated_types import Ge, Gt

from pipeline.compress._tuning import tuned
from pipeline.core import Context, Facts, Model, Promise, Technique


@final
@dataclass(frozen=True)
class Finetune(Technique):
    """Trains a model that knows another domain on (`pretrained` in a recipe), all of its layers (Yosinski et al. 2014,
    "How transferable are features in deep neural networks?", arXiv:1411.1792). What `lora` is held against.

    It does not pay in bytes or time: the model is as large as before, and every domain needs one of its own. Zeros stay.
    """

    epochs: Annotated[int, Ge(1)] | None = None
    """None: half of the model's preset."""
    learning_rate: Annotated[float, Gt(0)] | None = None

    def apply(self, model: Model, context: Context) -> Model:
        """The model, trained on."""
        from pipeline.train import tuning

        module = copy.deepcopy(model.module)
        tuned(module, model.family.build(), tuning(context.train, self.epochs, self.learning_rate), context)
        return replace(model, module=module)

    def promise(self, before: Facts, after: Facts) -> Promise:
        """Nothing but quality."""
        return Promise(1.0, 1.0, ("quality",))
