"""What files made, side by side, and the numbers beside the metric, in every form of the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from models.tasks._pictures import sheet
from models.tasks._sounds import generated
from reports import markdown, page
from reports.document import from_json, to_json
from reports.record import Detail, Example, Quality, Seeds
from reports.samples import beside, for_others, samples
from reports.table import terminal

QUALITY = Quality("nats_per_character", 1.62, 1.6, 1.64, 40, higher_is_better=False)
DOT, HISS = sheet(np.zeros((1, 1, 2, 2)), 1), generated(np.zeros(64), 8000)


@pytest.fixture
def report(make_cell, make_reference, make_report):
    """Three cells of a language model: two of them write the same."""
    told = replace(
        QUALITY,
        details=[Detail("perplexity", 5.053, 4.95, 5.15), Detail("spikes", 12.0)],
        seeds=Seeds([1.62, 1.66], 1.64, 0.028),
        examples=[Example("KING <b>", "RICHARD: my lord", None)],
    )
    other = replace(told, seeds=None, details=[], examples=[Example("KING <b>", "RICHARD: ny lorb", None)])
    return make_report(
        make_reference(quality=told),
        make_reference(runtime="openvino", quality=replace(told, seeds=None)),
        make_cell(quality=other),
    )


def test_cells_that_made_the_same_stand_together(report):
    (sample,) = samples(report)
    assert [(made.text, made.cells) for made in sample.made] == [
        ("RICHARD: my lord", ["reference in litert", "reference in openvino"]),
        ("RICHARD: ny lorb", ["int8 in litert"]),
    ]


def test_details_come_with_their_intervals_and_seeds_with_their_deviation(report):
    first, second = beside(report)
    assert first.numbers == [
        "mean of 2 seeds 1.64, standard deviation 0.028",
        "perplexity 5.053 [4.950, 5.150]",
        "spikes 12.00",
    ]
    assert len(second.numbers) == 2


def test_every_form_of_the_report_shows_them_and_none_runs_them(report):
    console = Console(width=120)
    with console.capture() as captured:
        console.print(terminal(report))
    for text in (page.render(report), markdown.render(report)):
        assert "my lord" in text and "ny lorb" in text and "perplexity 5.053" in text
        assert "KING <b>" not in text, "what a model writes is text, never markup"
    assert "perplexity 5.053" in captured.get() and "nats per character" in captured.get()


def test_they_survive_the_json(report):
    assert from_json(to_json(report)) == report


@pytest.mark.parametrize(
    ("real", "other", "tag", "rule", "told"),
    [
        (DOT, "data:image/svg+xml,<svg>", "<img src=", "img-src data:", "a picture, which the page shows"),
        (HISS, "data:audio/mpeg;base64,AAAA", "<audio controls src=", "media-src data:", "a sound, which the page plays"),
    ],
    ids=["picture", "sound"],
)
def test_it_is_shown_and_what_only_looks_like_one_is_text(report, real, other, tag, rule, told):
    forged = real + '" onerror="alert(1)'
    quality = replace(QUALITY, examples=[Example("noise", each) for each in (real, forged, other)])
    shown = replace(report, records=[replace(report.records[0], quality=quality)])
    text = page.render(shown)
    assert f'{tag}"{real}"' in text and text.count(tag) == 1
    assert "onerror=&#34;" in text and f'"{other[:14]}' not in text
    assert rule in text, "the page's own rule lets it in"
    markdown_text = markdown.render(shown)
    assert markdown_text.count(told) == 1 and markdown_text.count(real) == 1, "the forged one is text"


def test_what_goes_to_others_has_no_pictures_no_sounds_and_all_texts(report):
    text = Example("KING", "RICHARD", "the king")
    mixed = [text, Example("noise", DOT), Example(DOT, "a dot"), Example("dot", "a dot", DOT), Example("say 3", HISS)]
    shown = replace(report, records=[replace(each, quality=replace(each.quality, examples=mixed)) for each in report.records])
    told = for_others(shown)
    assert [each.quality.examples for each in told.records] == [[text]] * len(report.records)
    assert for_others(report) == report
