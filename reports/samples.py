"""What stands beside a metric: its details, the luck of the seed, and what the files made, to be looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from reports import words
from reports.record import Example, Quality, Report

PICTURE, SOUND = (re.compile(rf"data:{kind};base64,[A-Za-z0-9+/]+={{0,2}}") for kind in ("image/png", "audio/wav"))


@dataclass(frozen=True)
class Made:
    """What some cells made of a sample: cells that made the very same stand together."""

    text: str
    cells: list[str]


@dataclass(frozen=True)
class Sample:
    """One test sample of a model's data set and everything that was made of it."""

    model: str
    dataset: str
    given: str
    wanted: str | None
    made: list[Made]


@dataclass(frozen=True)
class Beside:
    """What a cell's judge says besides its metric."""

    subject: str
    variant: str
    numbers: list[str]


def samples(report: Report) -> list[Sample]:
    """The samples of all models, in the order of the report."""
    found: dict[tuple[str, str, int], Sample] = {}
    for record in report.records:
        for index, example in enumerate(record.quality.examples if record.quality else ()):
            place = (record.model, record.dataset, index)
            sample = found.setdefault(place, Sample(record.model, record.dataset, example.given, example.wanted, []))
            same = next((made for made in sample.made if made.text == example.made), None)
            if same is None:
                sample.made.append(same := Made(example.made, []))
            same.cells.append(f"{record.variant} in {record.runtime}")
    return list(found.values())


def beside(report: Report) -> list[Beside]:
    """The details of all cells that have some."""
    found = [
        Beside(name, record.variant, list(_numbers(record.quality)))
        for record, name in zip(report.records, words.names(report.records), strict=True)
        if record.quality
    ]
    return [each for each in found if each.numbers]


def picture(text: str) -> bool:
    """Whether what a model was given or made is a picture."""
    return PICTURE.fullmatch(text) is not None


def sound(text: str) -> bool:
    """Whether what a model was given or made is a sound."""
    return SOUND.fullmatch(text) is not None


def for_others(report: Report) -> Report:
    """The report as it goes to others: some of the pictures and sounds are the data's, and those belong to their owners."""
    records = []
    for record in report.records:
        if record.quality:
            kept = [each for each in record.quality.examples if not any(map(_seen_or_heard, _texts(each)))]
            record = replace(record, quality=replace(record.quality, examples=kept))
        records.append(record)
    return replace(report, records=records)


def _texts(example: Example) -> tuple[str, ...]:
    return (example.given, example.made, example.wanted or "")


def _seen_or_heard(text: str) -> bool:
    return picture(text) or sound(text)


def _numbers(quality: Quality) -> Iterator[str]:
    if quality.seeds:
        yield words.seeds(quality)
    for detail in quality.details:
        yield f"{words.metric(detail.metric)} {words.number(detail.value, detail.low, detail.high, detail.metric)}"
