"""report.md: the whole report as text that a forge renders and a person can read raw."""

from __future__ import annotations

import re

from reports import batches, words
from reports.instruments import readings
from reports.promise import Promise, promises
from reports.record import Record, Report
from reports.samples import Sample, beside, picture, samples, sound
from reports.verdict import MARKS, Judgement, Outcome, baseline, instruction_ratio, judgements, size_ratio

READING = """\
- **An interval** is a 95 % interval: exact (Clopper and Pearson) for an accuracy, Newcombe's for paired accuracies, a bootstrap
  over processes and rounds for time ratios. `±` gives the wider half.
- **Quality versus reference** is paired on the same test samples; negative is worse, whatever the metric. *Worse* and *better*:
  the interval excludes 0. *Equivalent*: the whole interval lies inside the metric's margin. *Inconclusive*: anything else; more
  samples would tell, this run cannot.
- **Time ratio** is the latency over that of `reference` in the same runtime on the same target, from interleaved calls in the
  same processes. *Faster* and *slower*: the interval excludes 1 and the ratio differs from it by more than 3 %. *Equivalent*: the
  whole interval lies inside 1 ± 3 %. *Inconclusive*: anything else. It is that of one call: where a result takes more or fewer
  calls than the reference's, the sentence says so, and weighs the time of all of them.
- **Energy** is that of a block of calls over their number, as the named meter has it: of a whole package or board, so what idles
  there counts too, and only ratios on one machine are a comparison.
- **Milliseconds** of two runs, two hosts or two runtimes are not a comparison; the ratios are.
- **File** is what the runtime loads, **bundle** what travels compressed, **peak memory** what the process held at most.
- `-` was not measured. A cell marked `emulated` or `estimated` was not measured on the device that it names."""

HEADINGS: dict[Outcome, str] = {
    "paid": "Paid",
    "in part": "Paid in part",
    "did not pay": "Did not pay",
    "unknown": "Not enough measured to say",
    "no result": "No result",
}


def render(report: Report) -> str:
    """The report as Markdown."""
    outcomes = {id(judgement.record): judgement.outcome for judgement in judgements(report)}
    parts = [_header(report)]
    for model, dataset in dict.fromkeys((r.model, r.dataset) for r in report.records):
        rows = [_row(r, report, outcomes.get(id(r))) for r in report.records if (r.model, r.dataset) == (model, dataset)]
        parts += [f"## {_safe(model)} on {_safe(dataset)}", "\n".join([*_head(), *rows])]
    parts += ["## What paid, what did not", *_paid(judgements(report))]
    if told := beside(report):
        parts += ["## Beside the metric", "\n".join(f"- **{_safe(b.subject)}**: {_safe('; '.join(b.numbers))}" for b in told)]
    if read := readings(report):
        parts += [
            "## What other instruments say",
            "\n".join(f"- **{_safe(r.subject)}**: {_safe('; '.join(r.lines))}" for r in read),
        ]
    if curves := batches.rows(report):
        parts += ["## Throughput against batch size", _batches(curves)]
    if shown := samples(report):
        parts += ["## What they made", *(_sample(sample) for sample in shown)]
    made = promises(report)
    if made:
        parts += ["## Promised and measured", "\n".join(map(_promise, made))]
    parts += ["## How to read it", READING]
    return "\n\n".join(parts) + "\n"


def _safe(text: str) -> str:
    """The text as itself: names and reasons come from elsewhere and must not turn into markup, links or table borders."""
    plain = " ".join(text.split())
    return re.sub(r"([\\`*<>|]|(?<=\])\()", r"\\\1", plain)


def _header(report: Report) -> str:
    run, host = report.run, report.run.host
    facts = {
        "run": f"{run.id}, {run.started}",
        "recipe": f"{run.recipe} (sha256 {run.recipe_sha256[:12]}){f', preset {run.preset}' if run.preset else ''}",
        "host": f"{host.cpu}, {host.cores} cores, {host.os}",
        "features": " ".join(host.features),
        "while it measured": ", ".join(run.conditions),
        "versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
        "seed": str(run.seed),
        "command": run.command,
    }
    return "\n".join(
        [f"# {_safe(run.recipe)}: measured", "", *(f"- {name}: {_safe(fact)}" for name, fact in facts.items() if fact)]
    )


def _head() -> list[str]:
    words_left = ["variant", "format, runtime", "quality", "versus reference"]
    numbers = ["file", "ratio", "bundle", "peak memory", "p50"]
    columns = [*words_left, *numbers, "time ratio", "outcome"]
    return [f"| {' | '.join(columns)} |", f"|{'|'.join('---:' if c in numbers else '---' for c in columns)}|"]


def _row(record: Record, report: Report, outcome: Outcome | None) -> str:
    where = f"{record.format}, {record.runtime} on {record.target}"
    if record.status != "ok":
        return f"| {_safe(record.variant)} | {_safe(where)} | **{record.status}**: {_safe(record.reason or '')} |{' - |' * 7} - |"
    quality, paired = record.quality, record.versus_baseline
    delta = quality.versus_reference if quality else None
    counted = instruction_ratio(record, baseline(record, report.records))
    cells = [
        _safe(record.variant),
        _safe(where),
        words.plus_minus(quality) + (f" {_safe(words.metric(quality.metric))}" if quality else ""),
        f"{words.difference(delta.delta, quality.metric)}, **{delta.verdict}**" if quality and delta else words.NONE,
        words.kilobytes(record.bytes.file),
        words.ratio(size_ratio(record, baseline(record, report.records), "file")),
        words.kilobytes(record.bytes.bundle),
        words.memory(record),
        words.cost(record),
        f"{words.ratio(counted)} instructions"
        if counted
        else words.interval(paired) + (f" **{paired.verdict}**" if paired else ""),
        f"{MARKS[outcome]} {outcome}" if outcome else "baseline",
    ]
    if record.provenance != "measured":
        cells[8] += f" ({record.provenance})"
    return f"| {' | '.join(cells)} |"


def _batches(curves: list[batches.Row]) -> str:
    """Samples a second; the highest of a row stands out."""
    sizes = batches.sizes(curves)
    lines = [f"| cell | {' | '.join(map(str, sizes))} | ended |", f"|---|{'---:|' * len(sizes)}---|"]
    for curve in curves:
        shown = [f"**{text}**" if size == curve.best else text for size, text in zip(sizes, curve.cells(sizes), strict=True)]
        lines.append(f"| {' | '.join([_safe(curve.subject), *shown, _safe(curve.ended)])} |")
    return "\n".join(lines)


def _promise(made: Promise) -> str:
    gaps = (f"  - {about}: {_safe(why)}" for about, why in made.gaps)
    return "\n".join([f"- **{_safe(made.subject)}**: {_safe(made.finding)}", *gaps])


def _sample(sample: Sample) -> str:
    lines = [f"**{_safe(sample.model)}** on {_safe(sample.dataset)} was given: {_shown(sample.given)}"]
    lines += [f"(wanted: {_shown(sample.wanted)})"] if sample.wanted else []
    lines += ["", *(f"- {', '.join(map(_safe, made.cells))}: {_shown(made.text)}" for made in sample.made)]
    return "\n".join(lines)


def _shown(text: str) -> str:
    """Many viewers leave out pictures and sounds that lie in the text itself."""
    if picture(text):
        return "a picture, which the page shows"
    return "a sound, which the page plays" if sound(text) else _safe(text)


def _paid(judged: list[Judgement]) -> list[str]:
    parts = []
    for outcome, heading in HEADINGS.items():
        chosen = [f"- {MARKS[outcome]} **{_safe(j.subject)}**: {_safe(j.finding)}" for j in judged if j.outcome == outcome]
        if chosen:
            parts += [f"### {heading}", "\n".join(chosen)]
    return parts or ["Nothing was compressed in this run."]
