"""The README's tables: rows of a published report between two marks, so that no figure there was typed by hand.

<!-- table: reports/published/mnist.json lenet5 -->
...
<!-- end -->

or of one runtime, with its name behind the model's; and, with every model of a folder's reports in one line each:

<!-- models: reports/published -->
...
<!-- end -->

`python -m reports.excerpt README.md reports/published/*.json` makes them anew, and the .md beside each of these reports.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal

from reports import markdown, words
from reports.document import load
from reports.record import Record, Report
from reports.verdict import baseline, size_ratio

MARKED = re.compile(r"(<!-- table: (\S+) (\S+)(?: (\S+))? -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
ALL = re.compile(r"(<!-- models: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
RUNTIMES = {"onnxruntime": "ONNX Runtime", "litert": "LiteRT", "openvino": "OpenVINO"}
INT8 = " | ".join(f"int8, {name}" for name in RUNTIMES.values())
MODELS = f"""| model | data | metric | float32 | {INT8} | file, int8 | p50, int8 |
|---|---|---|---|{"---|" * len(RUNTIMES)}---|---|
"""
HEAD = """| variant | runtime | {metric} | to reference | file | travels | p50 | time ratio, 95 % |
|---|---|---|---|---|---|---:|---|
"""


def filled(text: str, root: Path) -> str:
    """A document with every marked table made anew from its report; `root` is what the reports' paths start from."""
    text = MARKED.sub(lambda match: match[1] + table(load(root / match[2]), match[3], match[4]) + match["end"], text)
    return ALL.sub(lambda match: match[1] + models(root, match[2]) + match[3], text)


def models(root: Path, folder: str) -> str:
    """Every model of the folder's reports: its float32 quality, what int8 made of it, and that file in ONNX Runtime."""
    rows, shown = [], set()
    for path in sorted((root / folder).glob("*.json")):
        report = load(path)
        for name in dict.fromkeys(record.model for record in report.records):
            chosen = [record for record in report.records if record.model == name]
            subject = (name, chosen[0].dataset)
            if any(_int8(record) for record in chosen) and subject not in shown:  # other techniques have tables of their own
                shown.add(subject)
                rows.append(_model(chosen, f"[{name}]({folder}/{path.stem}.md)"))
    return MODELS + "".join(rows)


def _int8(record: Record) -> bool:
    return [step["technique"] for step in record.steps] == ["quantize_static"]


def _model(records: list[Record], link: str) -> str:
    plain = {record.runtime: record for record in records if not record.steps}
    int8 = {record.runtime: record for record in records if _int8(record)}
    first = plain["onnxruntime"]
    quality, small = first.quality, int8.get("onnxruntime", first)
    file, paired = size_ratio(small, first, "file"), small.versus_baseline
    p50 = small.latency_ms.p50 if small.latency_ms else None
    cells = [
        link,
        first.dataset,
        words.metric(quality.metric) if quality else words.NONE,
        (words.plus_minus(quality) if quality else f"{first.status}: {first.reason}") + _seeds(plain),
        *(_changed(int8.get(runtime)) for runtime in RUNTIMES),
        f"{words.kilobytes(small.bytes.file)}, {words.ratio(file)}",
        f"{words.milliseconds(p50)}, {words.interval(paired)}",
    ]
    return f"| {' | '.join(cells)} |\n"


def _seeds(references: dict[str, Record]) -> str:
    found = [words.seeds(record.quality) for record in references.values() if record.quality and record.quality.seeds]
    return f"; {found[0]}" if found else ""


def _changed(record: Record | None) -> str:
    if record is None or not (quality := record.quality):
        return words.NONE if record is None else record.status
    delta = quality.versus_reference
    return f"{words.difference(delta.delta, quality.metric)}, {delta.verdict}" if delta else words.plus_minus(quality)


def table(report: Report, model: str, runtime: str | None = None) -> str:
    """One model's cells, in all runtimes or in one, as a Markdown table."""
    chosen = [record for record in report.records if record.model == model and runtime in (None, record.runtime)]
    metrics = [words.metric(record.quality.metric) for record in chosen if record.quality]
    rows = [_row(record, report) for record in chosen]
    return (
        HEAD.format(metric=metrics[0] if metrics else "quality")
        + "".join(rows)
        + f"\n{report.run.host.cpu}, one thread, {report.run.started[:10]}: `{report.run.command}`\n"
    )


def _row(record: Record, report: Report) -> str:
    quality, paired = record.quality, record.versus_baseline
    delta = quality.versus_reference if quality else None
    cells = [
        record.variant,
        record.runtime,
        words.plus_minus(quality) if quality else f"{record.status}: {record.reason}",
        f"{words.difference(delta.delta, quality.metric)}, {delta.verdict}" if quality and delta else words.NONE,
        _size(record, report, "file"),
        _size(record, report, "bundle"),
        words.milliseconds(record.latency_ms.p50 if record.latency_ms else None),
        f"{words.interval(paired)} {paired.verdict}" if paired else words.NONE,
    ]
    return f"| {' | '.join(cells)} |\n"


def _size(record: Record, report: Report, which: Literal["file", "bundle"]) -> str:
    ratio = size_ratio(record, baseline(record, report.records), which)
    return f"{words.kilobytes(getattr(record.bytes, which))}, {words.ratio(ratio)}"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        if path.suffix == ".json":
            path.with_suffix(".md").write_text(markdown.render(load(path)))
        else:
            path.write_text(filled(path.read_text(), Path.cwd()))
