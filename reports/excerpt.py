"""The README's tables: rows of a published report between two marks, so that no figure there was typed by hand.

<!-- table: reports/published/mnist.json lenet5 -->
...
<!-- end -->
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from reports import words
from reports.document import load
from reports.record import Record, Report
from reports.verdict import baseline, size_ratio

MARKED = re.compile(r"(<!-- table: (\S+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
HEAD = """| variant | runtime | accuracy | to reference | file | ratio | p50 | time ratio, 95 % |
|---|---|---|---|---:|---:|---:|---|
"""


def filled(text: str, root: Path) -> str:
    """A document with every marked table made anew from its report; `root` is what the reports' paths start from."""
    return MARKED.sub(lambda match: match[1] + table(load(root / match[2]), match[3]) + match[4], text)


def table(report: Report, model: str) -> str:
    """One model's cells as a Markdown table."""
    rows = [_row(record, report) for record in report.records if record.model == model]
    return HEAD + "".join(rows) + f"\n{report.run.host.cpu}, one thread, {report.run.started[:10]}: `{report.run.command}`\n"


def _row(record: Record, report: Report) -> str:
    quality, paired = record.quality, record.versus_baseline
    delta = quality.versus_reference if quality else None
    cells = [
        record.variant,
        record.runtime,
        words.plus_minus(quality) if quality else f"{record.status}: {record.reason}",
        f"{words.difference(delta.delta, quality.metric)}, {delta.verdict}" if quality and delta else words.NONE,
        words.kilobytes(record.bytes.file),
        words.ratio(size_ratio(record, baseline(record, report.records), "file")),
        words.milliseconds(record.latency_ms.p50 if record.latency_ms else None),
        f"{words.interval(paired)} {paired.verdict}" if paired else words.NONE,
    ]
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        document = Path(name)
        document.write_text(filled(document.read_text(), Path.cwd()))
