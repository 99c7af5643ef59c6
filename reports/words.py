"""Numbers as a reader wants them: rounded to what is known, with their unit, and a dash where nothing was measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from reports.record import LatencyRatio, Quality, Record

NONE = "-"
FRACTIONS = frozenset(
    {"acc", "accuracy", "agreement", "auc", "auroc", "cer", "dice", "f1", "iou", "map", "map50", "miou", "precision", "rate"}
    | {"recall", "top1", "top5", "wer"}
)
"""A metric whose name holds one of these words is a fraction of 1: it is shown in percent and its drops in points."""


def is_fraction(metric: str) -> bool:
    """Whether the metric is a fraction of 1.

    >>> is_fraction("token_accuracy"), is_fraction("perplexity")
    (True, False)
    """
    return not FRACTIONS.isdisjoint(re.split(r"[^a-z0-9]+", metric.lower()))


def metric(name: str) -> str:
    """A metric's name in words.

    >>> metric("nats_per_character")
    'nats per character'
    """
    return name.replace("_", " ")


def difference(number: float, metric: str) -> str:
    """A signed difference: `-0.28 points`, or three digits in the metric's unit."""
    return f"{100 * number:+z.2f} points" if is_fraction(metric) else f"{number:+z.3g}"


def span(low: float, high: float, metric: str) -> str:
    """The interval of a difference, in its unit, unnamed."""
    return f"[{100 * low:+z.2f}, {100 * high:+z.2f}]" if is_fraction(metric) else f"[{low:+z.3g}, {high:+z.3g}]"


def plus_minus(quality: Quality | None) -> str:
    """`97.2 % ± 0.9`, `99.51 % ± 0.16`: as many digits as the doubt leaves.

    Of an interval that is not symmetric the wider side, so that it never looks surer than it is.
    """
    if quality is None:
        return NONE
    half = max(quality.value - quality.low, quality.high - quality.value)
    if not is_fraction(quality.metric):
        return f"{quality.value:#.4g} ± {half:.2g}"
    digits = 1 if half >= 0.005 else 2
    return f"{100 * quality.value:.{digits}f} % ± {100 * half:.{digits}f}"


def number(value: float, low: float | None, high: float | None, metric: str) -> str:
    """A value and its interval, in percent where the metric is a fraction.

    >>> number(5.1234, 5.0, 5.25, "perplexity"), number(0.97, None, None, "auroc_blur")
    ('5.123 [5.000, 5.250]', '97.0 %')
    """
    scale, unit, digits = (100, " %", ".1f") if is_fraction(metric) else (1, "", "#.4g")
    shown, *bounds = (f"{scale * each:{digits}}".rstrip(".") for each in (value, low, high) if each is not None)
    return f"{shown}{unit} [{', '.join(bounds)}]" if len(bounds) == 2 else f"{shown}{unit}"


def seeds(quality: Quality) -> str:
    """`mean of 5 seeds 81.50 %, standard deviation 0.40 points`."""
    found = quality.seeds
    if found is None:
        return NONE
    fraction = is_fraction(quality.metric)
    mean = f"{100 * found.mean:.2f} %" if fraction else f"{found.mean:.4g}"
    deviation = f"{100 * found.deviation:.2f} points" if fraction else f"{found.deviation:.2g}"
    return f"mean of {len(found.values)} seeds {mean}, standard deviation {deviation}"


def kilobytes(size: int | None) -> str:
    """Thousands of bytes, as file managers count; one decimal below 100."""
    if size is None:
        return NONE
    return f"{size / 1e3:.1f} KB" if size < 99_950 else f"{size / 1e3:,.0f} KB"


def megabytes(size: int | None) -> str:
    """Millions of bytes."""
    return NONE if size is None else f"{size / 1e6:,.1f} MB"


def saved(size: int) -> str:
    """Bytes with their unit as small as they are, and signed where they are negative.

    >>> saved(1_234_567), saved(-45_678), saved(75_000)
    ('1.2 MB', '-45.7 KB', '75.0 KB')
    """
    text = kilobytes(abs(size)) if abs(size) < 1e6 else megabytes(abs(size))
    return f"-{text}" if size < 0 else text


def milliseconds(time: float | None) -> str:
    """Three digits, never in powers of ten.

    >>> milliseconds(0.04123), milliseconds(12.345), milliseconds(1234.5)
    ('0.0412 ms', '12.3 ms', '1,234 ms')
    """
    if time is None:
        return NONE
    return f"{time:#.3g} ms" if 1e-4 <= time < 100 else f"{time:,.0f} ms" if time >= 100 else f"{time:.4f} ms"


def millijoules(energy: float) -> str:
    """Three digits of millijoules, or of joules from one on.

    >>> millijoules(0.5178), millijoules(12.345), millijoules(4321.0)
    ('0.518 mJ', '12.3 mJ', '4.32 J')
    """
    number, unit = (energy / 1e3, "J") if energy >= 999.5 else (energy, "mJ")
    return f"{number:#.3g} {unit}".replace(". ", " ") if number < 999.5 else f"{number:,.0f} {unit}"


def cost(record: Record) -> str:
    """What one inference costs: the median time where it was measured, instructions where a board is emulated."""
    if record.instructions:
        return instructions(record.instructions.median)
    found = record.latency_ms
    if found and found.sustained:
        kept = found.sustained
        change = f"{milliseconds(kept.first)} in the first of {kept.minutes} minutes, {milliseconds(kept.last)} in the last"
        return f"{milliseconds(found.p50)} ({change})"
    return milliseconds(found.p50 if found else None)


def memory(record: Record) -> str:
    """The process's peak, and what it held of an accelerator's memory where that is known."""
    device = record.bytes.device_memory
    return megabytes(record.bytes.peak_memory) + (f" + {megabytes(device)} of the GPU" if device is not None else "")


def per_second(rate: float) -> str:
    """Samples a second, in three digits.

    >>> per_second(1_234_567.0), per_second(45_678.0), per_second(812.3)
    ('1.23 M/s', '45.7 k/s', '812 /s')
    """
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if rate >= unit:
            return f"{rate / unit:#.3g} {name}/s".replace(". ", " ")
    return f"{rate:#.3g} /s".replace(". ", " ")


def instructions(count: int) -> str:
    """Three digits of thousands or millions.

    >>> instructions(78_288), instructions(8_012_345), instructions(950)
    ('78.3 k instr.', '8.01 M instr.', '950 instr.')
    """
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if count >= unit:
            number = count / unit
            return f"{number:#.3g}{name} instr." if number < 100 else f"{number:,.0f}{name} instr."
    return f"{count} instr."


def ratio(number: float | None) -> str:
    """`0.26x`, or one more digit where two would hide the size of it."""
    if number is None:
        return NONE
    return f"{number:.2f}x" if number >= 0.095 else f"{number:.3f}x"


def interval(paired: LatencyRatio | None) -> str:
    """`1.37x [1.33, 1.41]`."""
    return NONE if paired is None else f"{ratio(paired.ratio)} [{paired.low:.2f}, {paired.high:.2f}]"


def names(records: Sequence[Record]) -> list[str]:
    """The shortest name of each record that tells it from all others: `lenet5 int8 in litert`, then target, data set, format."""
    tails: tuple[Callable[[Record], str], ...] = (
        lambda r: "",
        lambda r: f" on {r.target}",
        lambda r: f" on {r.target}, {r.dataset}",
        lambda r: f" on {r.target}, {r.dataset}, {r.format}",
    )
    found: list[str] = []
    for tail in tails:
        found = [f"{r.model} {r.variant} in {r.runtime}{tail(r)}" for r in records]
        if len(set(found)) == len(found):
            break
    return found
