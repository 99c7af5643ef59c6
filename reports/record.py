"""The report record, schema `edgepress.report/1` (reports/schema.json): a stable interface that other programs read.

Values are in natural units: accuracy as a fraction, bytes, milliseconds. What was not measured is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.core import Detail as Detail  # what a judge says is what the report holds
from pipeline.core import Example as Example

SCHEMA = "edgepress.report/1"
LatencyVerdict = Literal["faster", "slower", "equivalent", "inconclusive"]
Provenance = Literal["measured", "emulated", "estimated"]
QualityVerdict = Literal["better", "worse", "equivalent", "inconclusive"]


@dataclass(frozen=True)
class QualityDelta:
    """Paired difference to the reference on the same samples; negative is worse whatever the metric."""

    delta: float
    low: float
    high: float
    verdict: QualityVerdict


@dataclass(frozen=True)
class Seeds:
    """The same training from several seeds, each judged by torch: how much of the value is luck."""

    values: list[float]
    mean: float
    deviation: float
    """Standard deviation over the seeds (n - 1)."""


@dataclass(frozen=True)
class Quality:
    """A metric on the test split with its 95 % interval."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    higher_is_better: bool
    versus_reference: QualityDelta | None = None
    details: list[Detail] = field(default_factory=list)
    seeds: Seeds | None = None
    examples: list[Example] = field(default_factory=list)
    calls: int = 1
    """Inferences of the graph whose latency is reported that make one result; 1 where a result is a token, a sample, a ray."""


@dataclass(frozen=True)
class Bytes:
    """The sizes: what the runtime loads, what travels compressed, what the process held at its peak."""

    file: int | None = None
    bundle: int | None = None
    peak_memory: int | None = None
    device_memory: int | None = None
    """What it held at its peak of an accelerator's own memory."""
    adapter: int | None = None
    """Of `file`, the low-rank updates that lie beside the base: what each further domain adds."""


@dataclass(frozen=True)
class Sustained:
    """p50 in milliseconds of the first and the last minute of calls without a pause."""

    first: float
    last: float
    minutes: int


@dataclass(frozen=True)
class Latency:
    """Milliseconds a call. A percentile is None unless at least ten samples lie beyond it."""

    load: float | None
    first: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    samples: int
    threads: int
    batch: int
    sustained: Sustained | None = None


@dataclass(frozen=True)
class Instructions:
    """Instructions of one inference on an emulated board. Not time: caches and pipelines have no part in it."""

    median: int
    lowest: int
    highest: int
    repeats: int


@dataclass(frozen=True)
class Energy:
    """Millijoules of one inference, of the whole package or board that the meter feeds: what idles there is in it."""

    inference: float
    """The median over the processes."""
    lowest: float
    highest: float
    sustained: float | None
    """After minutes of calls without a pause, where that was asked for."""
    meter: str


@dataclass(frozen=True)
class BenchmarkModel:
    """What LiteRT's own benchmark_model says of the file on the same device: milliseconds a call, random inputs, no Python."""

    init: float | None = None
    first: float | None = None
    average: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    deviation: float | None = None
    calls: int | None = None
    memory: int | None = None
    """Bytes by which its own memory grew."""
    reason: str | None = None
    """Why there are no figures."""


@dataclass(frozen=True)
class Batch:
    """Samples that are computed in one call: the median call in milliseconds, and samples a second."""

    batch: int
    p50: float
    per_second: float


@dataclass(frozen=True)
class Throughput:
    """Throughput against batch size, up to where it `ended` and why."""

    points: list[Batch]
    ended: str


@dataclass(frozen=True)
class LatencyRatio:
    """This record's latency over its baseline's, from interleaved calls in the same processes, with a 95 % interval."""

    ratio: float
    low: float
    high: float
    verdict: LatencyVerdict


@dataclass(frozen=True)
class Parity:
    """The exported file against the torch module on real samples.

    `tolerance` bounds `max_abs_diff` for float files; for quantized ones it bounds `metric_drop` (validation samples).
    """

    max_abs_diff: float
    tolerance: float
    ok: bool
    metric_drop: float | None = None
    on_target: float | None = None
    """Of a float file: the same difference for the one sample that it was timed on, as it was answered on the target."""


@dataclass(frozen=True)
class Predicted:
    """What the variant's techniques promised, as ratios to the reference, and where it should show."""

    file_ratio: float
    latency_ratio: float
    where: str
    bundle_ratio: float | None = None
    """Of what travels; by the entropy of the weights."""


@dataclass(frozen=True)
class Layer:
    """One operator of an exported file, as the runtime runs it."""

    name: str
    operator: str
    bytes: int
    """Of its constants in the file, their scales and zero points included."""
    weights: int = 0
    zeros: float | None = None
    """Share of its weights that are zero."""
    stored: str | None = None
    """The type of its weights in the file; None where it has none."""
    computed: str | None = None
    """The type that it multiplies or adds in, by the runtime's own graph."""
    time: float | None = None
    """Its share of all operators' time, by the runtime's own profiler."""
    sensitivity: float | None = None
    """The share of the outputs' squares that is lost on validation samples when its weights alone are rounded to 4 bits."""


@dataclass(frozen=True)
class Kind:
    """All operators of a file that are alike: of one kind, their weights stored and computed in the same types."""

    operator: str
    count: int
    bytes: int
    weights: int
    zeros: float | None
    stored: str | None
    computed: str | None
    time: float | None
    largest: str
    """The name of the one with the most bytes."""


@dataclass(frozen=True)
class Anatomy:
    """What is in an exported file, of the graph whose latency is reported."""

    constants: int
    """Bytes of weights, biases and shapes."""
    tables: int
    """Bytes of scales and zero points."""
    coded: int
    """Bytes that the weights' values take, each coded by how often it comes; a coder that sees more of them can need fewer."""
    codebooks: int
    """Weights that hold few distinct values."""
    matrices: int
    """Weights in all: what has more than one dimension."""
    kinds: list[Kind]
    """All operators."""
    layers: list[Layer]
    """The operators with the most bytes or time, in the file's order."""
    operators: int
    """How many there are in all."""
    operators_ms: float | None = None
    """Of a call, by the profiler."""
    call_ms: float | None = None
    """The median call without it, right before."""
    smallest_ms: float | None = None
    """The median call of a graph of one operator on one number, right after."""
    read_ms: float | None = None
    """The median time in which one thread of this machine reads so many bytes as `constants` has once, right after."""
    untimed: str | None = None
    """Why there is no time."""
    file: int = 0
    """Bytes of this graph's files."""
    coded_file: bool = False
    """Whether a coded file travels in place of one of them."""


@dataclass(frozen=True)
class Record:
    """One cell: a model's variant in a format, run by a runtime on a target."""

    model: str
    dataset: str
    variant: str
    steps: list[dict[str, Any]]
    format: str
    runtime: str
    target: str
    provenance: Provenance
    status: Literal["ok", "unsupported", "failed"]
    reason: str | None = None
    artifact_sha256: str | None = None
    quality: Quality | None = None
    bytes: Bytes = field(default_factory=Bytes)
    latency_ms: Latency | None = None
    versus_baseline: LatencyRatio | None = None
    versus_self: LatencyRatio | None = None
    """Only with --aa: the same file measured against itself."""
    instructions: Instructions | None = None
    """Only where a board is emulated, instead of latency."""
    energy_mj: Energy | None = None
    """Only where the machine has a meter."""
    benchmark_model: BenchmarkModel | None = None
    """Only on a phone, where a person gave the program."""
    throughput: Throughput | None = None
    """Only on an accelerator."""
    parity: Parity | None = None
    predicted: Predicted | None = None
    family: str = ""
    """The architecture: a file of models/, or the name of a user's own."""
    anatomy: Anatomy | None = None
    """Only where the format can be looked into."""


@dataclass(frozen=True)
class Host:
    """The machine that measured."""

    cpu: str
    cores: int
    features: list[str]
    os: str


@dataclass(frozen=True)
class Run:
    """What was run, where and with which versions."""

    id: str
    started: str
    recipe: str
    recipe_sha256: str
    host: Host
    versions: dict[str, str]
    seed: int
    command: str = ""
    preset: str = ""
    conditions: list[str] = field(default_factory=list)
    """What the machine said of itself while it measured: governor, temperature, throttling, load."""
    plan: str = ""
    """Hash of what was to be done: equal plans need no second run."""


@dataclass(frozen=True)
class Report:
    """A whole run."""

    run: Run
    records: list[Record]
    schema: str = SCHEMA
