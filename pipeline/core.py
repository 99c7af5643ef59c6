"""The nouns of the flow: recipe -> Model -> Artifact -> Measurement -> report. One direction, no way back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.options import Spec as Spec  # a noun too: everyone takes it from here

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]
Arrays = dict[str, Array]
Json = dict[str, Any]
Predict = Callable[[Arrays], Arrays]
"""Named arrays in, named arrays out, batch dimension first: a torch module, an exported file or a remote device."""


@dataclass(frozen=True)
class TensorSpec:
    """Shape (batch dimension included) and numpy dtype of one named input."""

    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class Graph:
    """A module that runs on the edge. `module(*inputs in this order)` returns its outputs in this order (a tuple if several)."""

    module: torch.nn.Module
    inputs: Mapping[str, TensorSpec]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Domain:
    """What a family must know of its data to build a module: named inputs and what is wanted of them (batch 1)."""

    name: str
    inputs: Mapping[str, TensorSpec]
    classes: int = 0
    """Of labels, or symbols of a sequence; 0 where nothing is chosen among."""
    targets: Mapping[str, TensorSpec] = field(default_factory=dict)
    """What a prepared sample holds besides its inputs, where a family builds by it: a forecast's horizon."""
    vocabulary: tuple[str, ...] = ()
    """What each symbol of a text is, in order; concatenated they are the text (U+2581 is a space, `<...>` is none)."""
    pixels: tuple[float, float] | None = None
    """What black and full brightness are where the input is a prepared picture."""


@dataclass(frozen=True)
class Dataset:
    """Arrays of the three splits and how they become a model's input.

    `splits[split][name]` has the samples along its first axis. `prepare` turns raw arrays of some samples into a model's
    inputs and labels (numpy only: the same code runs on the device); `augment` changes a prepared training batch.
    """

    domain: Domain
    splits: Mapping[str, Arrays]
    sha256: str
    """Of the training split's arrays: the provenance that exported files carry."""
    prepare: Callable[[Arrays], Arrays] = field(default=lambda batch: batch)
    augment: Callable[[dict[str, torch.Tensor], torch.Generator], dict[str, torch.Tensor]] | None = None

    def size(self, split: str) -> int:
        """The number of samples in a split."""
        return len(next(iter(self.splits[split].values())))

    def batch(self, split: str, index: Any) -> Arrays:
        """The prepared samples at `index` (an integer array or a slice)."""
        return self.prepare({name: array[index] for name, array in self.splits[split].items()})


class DataSource(Protocol):
    """A file of models/data: where a data set comes from."""

    licence: ClassVar[str]
    """What its owners allow, and who they are."""

    def files(self, root: Path) -> list[Path]:
        """The files that `load` reads; their content is part of every key. UserError when one is missing."""

    def load(self, root: Path) -> Dataset:
        """Reads the data set. UserError for files that are missing, truncated or do not fit each other."""


@dataclass(frozen=True)
class Train:
    """Options of the one training loop (train.py)."""

    epochs: Annotated[int, Ge(1)] = 10
    batch: Annotated[int, Ge(1)] = 128
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    """Of sgd."""
    betas: tuple[Annotated[float, Ge(0), Lt(1)], Annotated[float, Ge(0), Lt(1)]] = (0.9, 0.999)
    """Of adamw's means of gradients and of their squares; a game of two networks wants less of the first."""
    weight_decay: Annotated[float, Ge(0)] = 0.01
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Annotated[float, Ge(0), Le(1)] = 0.05
    """Fraction of all steps during which the learning rate rises linearly."""
    clip: Annotated[float, Gt(0)] | None = 1.0
    """Largest gradient norm; None lets every gradient through."""
    patience: Annotated[int, Ge(0)] | None = None
    """Stop after so many epochs without a better validation metric; None trains to the end."""
    augment: bool = True
    samples: Annotated[int, Ge(1)] | None = None
    """Train on the first so many samples only; None takes all."""
    mixed_precision: Literal["off", "bf16", "fp16"] = "off"
    """Autocast on cuda; ignored on the CPU."""


@dataclass(frozen=True)
class Detail:
    """A number beside the metric, with its 95 % interval where it has one: perplexity, spikes of an inference."""

    metric: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Example:
    """What a model made of one sample, for a person to look at, and what was wanted where that is known.

    Each is a text, a picture ("data:image/png;base64,...") or a sound ("data:audio/wav;base64,...").
    """

    given: str
    made: str
    wanted: str | None = None


class Task(ABC):
    """What a family is judged on: numpy only, the same for torch, an exported file and a device."""

    metric: ClassVar[str]
    unit: ClassVar[str]
    higher_is_better: ClassVar[bool]
    margin: ClassVar[float]
    """Differences inside +-margin (in the metric's unit) are called equivalent."""

    @property
    def calls(self) -> int:
        """Inferences of the first graph that make one result: times the latency, what a user waits for. A result is what the
        graph makes (a token, a ray) unless a task says that it takes several to make one.
        """
        return 1

    @abstractmethod
    def collect(self, predictors: Mapping[str, Predict], samples: Arrays) -> Arrays:
        """Runs the predictors (one a graph) over prepared samples; returns evidence, a row each."""

    @abstractmethod
    def value(self, evidence: Arrays) -> float:
        """The metric over the evidence's rows."""

    @abstractmethod
    def interval(self, evidence: Arrays) -> tuple[float, float]:
        """95 % interval of `value`."""

    @abstractmethod
    def difference(self, evidence: Arrays, reference: Arrays) -> tuple[float, float, float]:
        """Paired over the same samples: delta (worse is negative), and its 95 % interval."""

    def details(self, evidence: Arrays) -> tuple[Detail, ...]:
        """What else the evidence tells; nothing unless a task says so."""
        return ()

    def examples(self, predictors: Mapping[str, Predict], samples: Arrays) -> tuple[Example, ...]:
        """What the model makes of some prepared samples; nothing unless a task makes what a person can read."""
        return ()


class Family(ABC):
    """A file of models/: an architecture. Its fields are its options."""

    presets: ClassVar[Mapping[str, Train]]

    @abstractmethod
    def build(self, domain: Domain) -> torch.nn.Module:
        """The untrained module, from torch's current random state."""

    def begin(self, module: torch.nn.Module, data: Dataset, seed: int) -> None:  # noqa: B027  # most families need nothing
        """Sets what training starts from and no gradient would find, in place: centres that are samples, scales of inputs."""

    def pace(self, module: torch.nn.Module, done: float) -> None:  # noqa: B027  # most families need nothing
        """Called before every step with the fraction (0 to 1) of the training that is done: a radius that shrinks."""

    @abstractmethod
    def forward(self, module: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The training pass: named outputs of a prepared batch."""

    @abstractmethod
    def loss(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The scalar to minimise."""

    @abstractmethod
    def graphs(self, module: torch.nn.Module, domain: Domain) -> dict[str, Graph]:
        """What is deployed, by name; the first graph is the one whose latency is reported."""

    @abstractmethod
    def task(self, domain: Domain) -> Task:
        """The judge."""


@dataclass(frozen=True)
class Precision:
    """How an exporter is to lower a model; the weights of the Model stay float32.

    `activations` "static": int8 activations whose ranges come from `calibration_samples` samples of the training split;
    "dynamic": int8 activations whose ranges each call finds anew; "float": float activations. For the first two the
    runtime's own quantizer makes `weight_bits` integers of the weights; for "float" the weights already lie on a grid of at
    most so many bits (pipeline/compress/_grid.py) and a format stores each tensor in as few bits as it needs.
    """

    activations: Literal["static", "dynamic", "float"]
    weight_bits: int = 8
    per_channel: bool = True
    group: int | None = None
    """So many neighbours along a weight's inputs share a scale; None: all that make one output channel do."""
    calibration: Literal["minmax", "percentile", "entropy"] = "minmax"
    calibration_samples: int = 256


@dataclass(frozen=True)
class Facts:
    """Size and work of a model: parameters, multiply-accumulates of one inference, mean bits of a weight."""

    parameters: int
    macs: int
    weight_bits: float = 32
    """As the runtime's file stores it."""
    coded_bits: float = 32
    """As it travels, at best: the entropy of what the weights are."""
    binary_macs: int = 0
    """Of the multiply-accumulates those of +-1."""


@dataclass(frozen=True)
class Promise:
    """What a technique should gain, as ratios after/before, and where it should show."""

    file_ratio: float
    latency_ratio: float
    where: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A torch module, how it is to be lowered, and the steps that made it."""

    family: Spec
    domain: Domain
    module: torch.nn.Module
    facts: Facts
    precision: Precision | None = None
    surgery: tuple[Json, ...] = ()
    """Structure changes in order, each {"technique", "record"}: replayed, never pickled."""
    history: tuple[Json, ...] = ()
    """Every step so far, as the report prints it."""
    adapter: tuple[str, ...] = ()
    """Names of the parameters that travel in a file of their own, beside a graph that takes them as inputs."""

    def after(self, step: Json, **changes: Any) -> Model:
        """This model after one more step."""
        return replace(self, history=(*self.history, step), **changes)


class Progress(Protocol):
    """Where a long step says how far it is."""

    def __call__(self, done: float, total: float, what: str = "") -> None:
        """`done` of `total`, in any unit, and what is being done."""


@dataclass(frozen=True)
class Context:
    """What a technique may use besides the model it is given."""

    data: Dataset
    train: Train
    """The training options of the recipe's preset, the default for fine-tuning."""
    reference: Model
    """The uncompressed model, or the one that the technique learns from."""
    seed: int
    scratch: Path
    """Where checkpoints of this step go; it survives a kill and is removed when the step is done."""
    progress: Progress
    device: str = "cpu"


@dataclass(frozen=True)
class Outlook:
    """What a technique may look at before any work: its recipe's models, and the data that they are for."""

    family: Spec
    """Of the model that it is to change."""
    models: Mapping[str, Spec]
    """The recipe's models by name."""
    domain: Callable[[], Domain]
    """Reads the data the first time that it is asked for."""

    def module(self, family: Spec | None = None) -> torch.nn.Module:
        """A module as it is before training, of the model to change unless another family is said."""
        import torch

        with torch.random.fork_rng(devices=[]):
            built: torch.nn.Module = (family or self.family).build().build(self.domain())
            return built


class Technique(ABC):
    """A file of pipeline/compress. Its fields are its options."""

    fixes_precision: ClassVar[bool] = False
    """Whether it decides how the exporters lower the model; nothing that changes weights can follow."""

    @property
    def keeps_weights(self) -> bool:
        """Whether it leaves the weights that it is given as they are, so that it can follow what fixes their precision."""
        return False

    @abstractmethod
    def apply(self, model: Model, context: Context) -> Model:
        """The compressed model."""

    @abstractmethod
    def promise(self, before: Facts, after: Facts) -> Promise:
        """What the step should gain."""

    def check(self, outlook: Outlook) -> None:  # noqa: B027  # most options fit every model
        """Refuses (UserError) options that do not fit the model, before any work."""

    def learns_from(self) -> str | None:
        """The recipe's model whose reference is `Context.reference`; None: the model's own."""
        return None

    def family(self, family: Spec) -> Spec:
        """The family of the compressed model; a technique that builds another one says which."""
        return family

    def replay(self, module: torch.nn.Module, record: Json, domain: Domain) -> torch.nn.Module:
        """Makes the structure that `record` (a JSON value from `surgery`) describes out of a freshly built module."""
        raise UserError(f"{type(self).__name__} changes no structure, and yet a model file says that it did")


class Exporter(Protocol):
    """A file of pipeline/export: one format."""

    def export(self, model: Model, graph: Graph, path: Path, calibration: list[Arrays], provenance: Json) -> list[Path]:
        """Writes the graph under `path` (which has no suffix), lowered as `model.precision` says.

        `calibration` holds batches of one sample each, empty where the precision needs none. `provenance` goes into the
        file as one JSON text where the format can hold it. Returns the files written, the one to load first. Raises
        Unsupported with a reason for what the format cannot hold.
        """


class Unsupported(Exception):
    """A combination that cannot be had; the report's cell carries its one-line reason."""


class ParityError(Exception):
    """An exported file that does not do what the torch module does, and so is no artifact."""
