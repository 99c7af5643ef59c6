"""A file's layers, in a terminal and on the page: nothing counted twice, nothing left out."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipeline.errors import UserError
from reports import page
from reports.layers import blocks, chosen, rows, table
from reports.record import Anatomy, Layer
from tests.reports.conftest import cell, reference, report_of

CONV = Layer("conv", "Conv", 4000, 1000, 0.95, "float32", "float32", 0.7, 0.25)
GRU = Layer("gru", "GRU", 1000, 1000, 0.0, "int8", "float32", 0.2, -0.001)
RELU = Layer("relu", "Relu", 0, computed="float32", time=0.1)
LOOKED = Anatomy(5000, 0, 1000, 0, 2, [], [CONV, GRU, RELU], 3, operators_ms=2.0, file=6000)


def printed(record, width=140):
    console = Console(width=width)
    with console.capture() as captured:
        console.print(table(record, record.anatomy.layers))
    return captured.get()


@pytest.mark.parametrize("width", [80, 140])
def test_two_lines_a_layer_with_what_it_stores_costs_and_minds(width):
    text = printed(cell(anatomy=LOOKED), width)
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip().startswith("gru"))
    assert all(word in lines[first] for word in ("1,000", "0.400 ms", "-0.1 %")), text
    assert all(word in lines[first + 1] for word in ("GRU, int8 in", "17 %", "20 %")), text
    assert "95 %" in text and "the graph's description" in text and "2.00 ms in operators" in text


def test_what_was_not_timed_says_why_and_shows_no_empty_lines():
    layers = [dataclasses.replace(each, time=None) for each in LOOKED.layers]
    text = printed(cell(anatomy=dataclasses.replace(LOOKED, layers=layers, operators_ms=None, untimed="no profiler")))
    assert "no profiler" in text and "relu" not in text and "1 others" in text and "ms" not in text


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 100)), min_size=1, max_size=30),
    st.integers(0, 10**5),
    st.integers(1, 8),
)
def test_the_shares_add_up_to_one_however_many_rows_are_shown(made, description, most):
    spent = sum(time for _, time in made)
    layers = [Layer(str(n), "Conv", size, time=time / spent) for n, (size, time) in enumerate(made)]
    constants = sum(size for size, _ in made)
    found = Anatomy(constants, 0, 0, 0, 0, [], layers, len(layers), operators_ms=1.0, file=constants + description + 1)
    shown = rows(found, layers, most)
    assert len(shown) <= most + 2
    assert sum(row.bytes for row in shown) == found.file and sum(row.share for row in shown) == pytest.approx(1)
    assert sum(row.time or 0 for row in shown) == pytest.approx(1)


def test_the_page_puts_the_reference_beside_the_compressed_on_one_scale():
    small = dataclasses.replace(
        LOOKED, layers=[dataclasses.replace(CONV, bytes=1000, stored="int8")], operators=1, constants=1000, file=1000
    )
    (block,) = blocks(report_of(cell(anatomy=small), reference(anatomy=LOOKED)))
    assert [group.variant for group in block.groups] == ["reference", "int8"]
    conv, same = block.groups[0].rows[0], block.groups[1].rows[0]
    assert (block.bytes_width(conv), block.bytes_width(same)) == (100, 25)
    html = page.render(report_of(reference(anatomy=LOOKED), cell(anatomy=small)))
    assert html.index("Layer by layer") < html.index("int8 in float32")


def test_a_name_that_is_no_model_or_variant_is_one_line():
    report = report_of(reference(anatomy=LOOKED), cell(anatomy=LOOKED))
    assert [record.variant for record in chosen(report, "lenet5", "int8", None)] == ["int8"]
    with pytest.raises(UserError, match=r"unknown variant 'int9'; did you mean 'int8'\?"):
        chosen(report, "lenet5", "int9", None)
    with pytest.raises(UserError, match="unknown runtime 'onnx'"):
        chosen(report, "lenet5", "int8", "onnx")
