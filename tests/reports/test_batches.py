"""What an accelerator adds to a report: throughput against batch size, and its own memory."""

import pytest
from rich.console import Console

from reports import batches, markdown, page
from reports.document import from_json, to_json
from reports.record import Batch, Bytes, Throughput
from reports.table import terminal

POINTS = [Batch(1, 0.05, 20_000.0), Batch(2, 0.05, 40_000.0), Batch(4, 0.125, 32_000.0)]


@pytest.fixture
def report(make_cell, make_report):
    on_gpu = {"target": "gpu", "versus_baseline": None, "bytes": Bytes(26_000, 24_000, 41_000_000, 6_291_456)}
    return make_report(
        make_cell(runtime="torch_eager_fp16", **on_gpu, throughput=Throughput(POINTS, "batch 8: out of memory")),
        make_cell(
            runtime="onnxruntime_cuda_fp32", **on_gpu, throughput=Throughput(POINTS[:1], "the file takes this batch size only")
        ),
        make_cell(),
    )


def test_only_cells_that_have_a_curve_have_a_row_and_the_best_is_found(report):
    first, second = batches.rows(report)
    assert (first.best, second.best) == (2, 1)
    assert batches.sizes([first, second]) == [1, 2, 4]
    assert second.cells([1, 2]) == ["20.0 k/s", "-"]
    assert first.finding == "20.0 k/s at batch 1, at most 40.0 k/s at 2 (0.0500 ms a call); ended at 4: batch 8: out of memory"


def test_a_curve_without_a_point_says_why(make_cell, make_report):
    (row,) = batches.rows(make_report(make_cell(throughput=Throughput([], "batch 1: out of memory"))))
    assert (row.best, row.finding) == (None, "none; batch 1: out of memory")


def test_it_is_shown_in_every_form(report):
    text, html = markdown.render(report), page.render(report)
    assert "| cell | 1 | 2 | 4 | ended |" in text
    assert "| 20.0 k/s | **40.0 k/s** | 32.0 k/s | batch 8: out of memory |" in text
    assert "| 41.0 MB + 6.3 MB of the GPU |" in text
    assert "<b>40.0 k/s</b>" in html and "41.0 MB + 6.3 MB of the GPU" in html
    with (console := Console(width=200)).capture() as shown:
        console.print(terminal(report))
    assert "at most 40.0 k/s at 2" in shown.get() and "6.3 MB of the GPU" in shown.get()


def test_a_report_without_one_has_no_such_section(make_cell, make_report):
    plain = make_report(make_cell())
    assert "Throughput" not in markdown.render(plain) + page.render(plain)
    assert "of the GPU" not in markdown.render(plain)


def test_it_is_read_as_it_was_written(report):
    assert from_json(to_json(report)) == report
