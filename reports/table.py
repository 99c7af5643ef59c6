"""The report in a terminal: two lines a row, so that every number keeps its doubt beside it in 80 columns and in 120."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports import batches, words
from reports.instruments import readings
from reports.record import Record, Report
from reports.samples import beside
from reports.verdict import MARKS, Judgement, Outcome, baseline, instruction_ratio, judgements, size_ratio

WIDE = 110
"""From so many columns on, the bundle, the memory and the outcome are shown too."""

SAME = 3
"""More cells than these that share a finding are counted, not named."""

STYLES = {
    "faster": "green",
    "better": "green",
    "paid": "green",
    "slower": "red",
    "worse": "red",
    "did not pay": "bold red",
    "failed": "bold red",
    "unsupported": "magenta",
    "inconclusive": "yellow",
    "in part": "yellow",
    "equivalent": "dim",
}
"""Colour only repeats what the word says."""


@dataclass(frozen=True)
class Terminal:
    """A report that lays itself out for the width it is printed in."""

    report: Report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, then why cells are empty, then what did not pay."""
        judged = judgements(self.report)
        outcomes = {id(j.record): j.outcome for j in judged}
        yield _table(self.report, outcomes, wide=options.max_width >= WIDE)
        yield from _list("No result", "no result", judged)
        yield from _list("Did not pay", "did not pay", judged)
        if told := [each for each in beside(self.report) if each.variant == "reference"]:
            yield Text("Beside the metric, of the references", "bold")
            yield from (Padding(Text(f"{each.subject}: {'; '.join(each.numbers)}"), (0, 0, 0, 2)) for each in told)
            yield Text()
        if read := readings(self.report):
            yield Text("What other instruments say", "bold")
            yield from (Padding(Text(f"{each.subject}: {'; '.join(each.lines)}"), (0, 0, 0, 2)) for each in read)
            yield Text()
        if curves := batches.rows(self.report):
            yield Text("Throughput against batch size", "bold")
            yield from (Padding(Text(f"{each.subject}: {each.finding}"), (0, 0, 0, 2)) for each in curves)
            yield Text()


def terminal(report: Report) -> RenderableType:
    """The report as something rich can print: `Console().print(terminal(report))`."""
    return Terminal(report)


def _table(report: Report, outcomes: dict[int, Outcome], wide: bool) -> Table:
    run = report.run
    title = Text.assemble((run.recipe, "bold"), f"  {run.host.cpu}, {run.started}, seed {run.seed}")
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("model\nvariant" if wide else "model, variant\nruntime", overflow="fold")
    if wide:
        table.add_column("format\nruntime", overflow="fold")
    table.add_column("quality ± 95 %\nversus reference", no_wrap=True)
    table.add_column("file\nratio", justify="right", no_wrap=True)
    if wide:
        table.add_column("bundle\npeak memory", justify="right", no_wrap=True)
    table.add_column("p50", justify="right", no_wrap=True)
    table.add_column("time ratio, 95 %\nversus reference", no_wrap=True)
    if wide:
        table.add_column("outcome", no_wrap=True)
    for model, dataset in dict.fromkeys((r.model, r.dataset) for r in report.records):
        metrics = {r.quality.metric for r in report.records if (r.model, r.dataset) == (model, dataset) and r.quality}
        table.add_row(
            Text.assemble((model, "bold"), f" {dataset}"), *[""] * wide, Text(", ".join(map(words.metric, metrics)), "dim")
        )
        for record in report.records:
            if (record.model, record.dataset) == (model, dataset):
                table.add_row(*_row(record, report, outcomes.get(id(record)), wide))
        table.add_section()
    return table


def _row(record: Record, report: Report, outcome: Outcome | None, wide: bool) -> list[RenderableType]:
    where = record.runtime if len({r.target for r in report.records}) == 1 else f"{record.runtime} @ {record.target}"
    file = f"{words.kilobytes(record.bytes.file)}\n{words.ratio(size_ratio(record, baseline(record, report.records), 'file'))}"
    travels = Text(f"{words.kilobytes(record.bytes.bundle)}\n{words.memory(record)}")
    time = Text(words.cost(record))
    mark = Text(f"{MARKS[outcome]} {outcome}", STYLES.get(outcome, "")) if outcome else Text("")
    if not wide:
        return [Text(f"{record.variant}\n  {where}"), _quality(record), Text(file), time, _ratio(record, report)]
    name = [Text(record.variant), Text(f"{record.format}\n{where}")]
    return [*name, _quality(record), Text(file), travels, time, _ratio(record, report), mark]


def _quality(record: Record) -> Text:
    if record.status != "ok":
        return Text(record.status, STYLES[record.status])
    text = Text(words.plus_minus(record.quality))
    paired = record.quality.versus_reference if record.quality else None
    if record.quality and paired:
        moved = words.difference(paired.delta, record.quality.metric).removesuffix(" points")
        text.append(f"\n{moved} ").append(paired.verdict, STYLES[paired.verdict])
    return text


def _ratio(record: Record, report: Report) -> Text:
    paired, counted = record.versus_baseline, instruction_ratio(record, baseline(record, report.records))
    if counted is not None:
        return Text(f"{words.ratio(counted)} instr.\n").append(record.provenance, "yellow")
    if paired is None:
        return Text("baseline" if record.variant == "reference" and record.status == "ok" else words.NONE, "dim")
    text = Text(f"{words.interval(paired)}\n").append(paired.verdict, STYLES[paired.verdict])
    return text if record.provenance == "measured" else text.append(f" {record.provenance}", "yellow")


def _list(title: str, outcome: Outcome, judged: list[Judgement]) -> Iterator[RenderableType]:
    chosen = [j for j in judged if j.outcome == outcome]
    if chosen:
        yield Text(title, "bold")
    subjects: dict[str, list[str]] = {}
    for judgement in chosen:
        subjects.setdefault(judgement.finding, []).append(judgement.subject)
    for finding, named in subjects.items():  # what a whole target lacks is one line, not one for each of its cells
        subject = f"{len(named)} cells" if len(named) > SAME else None
        for each in [subject] if subject else named:
            yield Padding(Text.assemble((f"{MARKS[outcome]} {each}", "bold"), f": {finding}"), (0, 0, 0, 2))
    if chosen:
        yield Text()
