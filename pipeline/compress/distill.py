"""Knowledge distillation: a student learns from the uncompressed reference, or from another model of the recipe."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

from annotated_types import Ge, Gt, Le

from pipeline.compress._tuning import Loss, compared, tuned
from pipeline.core import Context, Facts, Family, Model, Outlook, Promise, Spec, Technique, Unsupported
from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch

    from pipeline.compress._comparison import Comparison


@final
@dataclass(frozen=True)
class Distill(Technique):
    """Loss = weight * distance(student, teacher) + (1 - weight) * the family's own loss; the distance is, by `kind`:

    logits: T^2 * KL(softmax(teacher / T) || softmax(student / T)) of logits [N, ..., classes], T the `temperature` (Hinton,
    Vinyals & Dean 2015, arXiv:1503.02531).
    features: the mean squared error of hidden layers, the student's behind a linear regressor (1x1 on feature maps) where it is
    of another width; regressors are trained along and thrown away (Romero et al. 2015, "FitNets", arXiv:1412.6550; all layers
    and the loss at once; in stages by two steps).
    attention: of feature maps [N, C, H, W] the squared distance of q / |q|, q the sum of the squared channels (Zagoruyko &
    Komodakis 2017, arXiv:1612.03928); of transformers KL(teacher || student) of the attention itself, a layer's heads one to
    one (Wang et al. 2020, "MiniLM", arXiv:2002.10957, of all layers and without its relations of values).
    sequence: the family's own loss of what the teacher writes (Kim & Rush 2016, arXiv:1606.07947).
    outputs: the mean squared error of all learned outputs, for generators and regressions.

    With `student` the model is a new one of the same family, of these options (`student = { width = 0.5 }`); without it the
    current model is tuned. It does not pay when the student alone reaches the teacher's quality, and it costs a teacher's
    forward pass a step.
    """

    kind: Literal["logits", "features", "attention", "sequence", "outputs"] = "logits"
    teacher: str | None = None
    """A model of the recipe, by its name; None: the uncompressed reference of the model itself."""
    student: dict[str, Any] = field(default_factory=dict)
    temperature: Annotated[float, Gt(0)] = 4.0
    """Of logits."""
    weight: Annotated[float, Ge(0), Le(1)] = 0.7
    layers: dict[str, str] = field(default_factory=dict)
    """Of features and attention: by the student's layer the teacher's. Empty: the main layers, in their order, the last with the
    last."""
    samples: Annotated[int, Ge(1)] | None = None
    """Of a sequence: so many training texts are the teacher's, the others stay as they are; None: all."""
    beam: Annotated[int, Ge(1)] | None = None
    """Of a sequence: the width of the teacher's beam search; None: 1, which is greedy."""
    epochs: Annotated[int, Ge(1)] | None = None
    """None: as many as the model's preset for a new student, half of that for tuning the current model."""
    learning_rate: Annotated[float, Gt(0)] | None = None

    def __post_init__(self) -> None:
        """Options that the kind has no use for are refused."""
        kinds = {"layers": ("features", "attention"), "samples": ("sequence",), "beam": ("sequence",)}
        for name, allowed in kinds.items():
            if getattr(self, name) and self.kind not in allowed:
                raise UserError(f"distill: {name} is for kind = {' or '.join(map(repr, allowed))}; found {self.kind!r}")

    def learns_from(self) -> str | None:
        """The teacher's name in the recipe."""
        return self.teacher

    def family(self, family: Spec) -> Spec:
        """The student's family: the same architecture with the options in `student`."""
        return replace(family, options={**family.options, **self.student})

    def check(self, outlook: Outlook) -> None:
        """Refuses a teacher with which the student cannot be compared: compares them once, untrained, on a made-up sample."""
        import torch

        teacher = outlook.models[self.teacher] if self.teacher else outlook.family
        specs = (self.family(outlook.family), teacher)
        domain = outlook.domain()
        try:
            if self.kind == "sequence":
                from pipeline.compress._taught import judge

                for spec in specs:
                    judge(spec.build(), domain)
                return
            given = {**domain.inputs, **domain.targets}
            batch = {name: torch.ones(each.shape, dtype=getattr(torch, each.dtype)) for name, each in given.items()}
            ours, theirs = ((spec.build(), outlook.module(spec).eval()) for spec in specs)
            comparison = self._comparison()
            comparison.pairs(comparison.look(*ours, batch, self.layers), comparison.look(*theirs, batch, self.layers.values()))
        except Unsupported as reason:
            raise UserError(str(reason)) from None
        except KeyError:  # a training pass that needs what no domain tells, a label: then the training shows it
            return

    def apply(self, model: Model, context: Context) -> Model:
        """The trained student."""
        import torch

        from pipeline.compress._comparison import detach
        from pipeline.train import tuning

        epochs = self.epochs
        if self.student:
            epochs = epochs or context.train.epochs
            spec = self.family(model.family)
            torch.manual_seed(context.seed)
            smaller = spec.build()
            module = smaller.build(model.domain)
            smaller.begin(module, context.data, context.seed)
            student = replace(model, family=spec, module=module, surgery=())
        else:
            student = replace(model, module=copy.deepcopy(model.module))
        family = student.family.build()
        options = tuning(context.train, epochs, self.learning_rate)
        context = self._prepared(student.module, family, context)
        tuned(student.module, family, options, context, self.loss(family, context))
        detach(student.module)
        return student

    def promise(self, before: Facts, after: Facts) -> Promise:
        """Bytes fall with the parameters and time with the multiply-accumulates; a student of equal size gains quality only."""
        where = ("file", "bundle", "latency") if self.student else ("quality",)
        return Promise(after.parameters / before.parameters, after.macs / before.macs, where)

    def loss(self, family: Family, context: Context) -> Loss:
        """The loss for `fit`, of a student of that family beside the context's reference."""
        if self.kind == "sequence":
            from pipeline.compress._taught import loss as texts

            return partial(texts, family, weight=self.weight)
        return compared(self._comparison(), family, context, self.weight)

    def _prepared(self, module: torch.nn.Module, family: Any, context: Context) -> Context:
        """Gives the student its regressors, or the data the teacher's texts."""
        import torch

        if self.kind == "sequence":
            from pipeline.compress._taught import with_texts

            return with_texts(context, self.samples, self.beam or 1)
        if self.kind == "features":
            comparison, reference = self._comparison(), context.reference
            batch = {name: torch.from_numpy(array) for name, array in context.data.batch("train", slice(0, 2)).items()}
            with torch.no_grad():
                ours = comparison.look(family, module.eval(), batch, self.layers)
                theirs = comparison.look(reference.family.build(), reference.module.eval(), batch, self.layers.values())
            comparison.attach(module, ours, theirs, context.seed)
        return context

    def _comparison(self) -> Comparison:
        from pipeline.compress._comparison import Comparison

        if self.kind == "sequence":
            raise TypeError("a sequence is compared by what the teacher writes")
        return Comparison(self.kind, self.temperature, self.layers)
