import pytest
from rich.console import Console

from reports.table import terminal


def shown(report, width, color=False):
    console = Console(width=width, record=True, force_terminal=color, color_system="standard" if color else None)
    with console.capture() as captured:
        console.print(terminal(report))
    return captured.get()


@pytest.mark.parametrize("width", [80, 120])
def test_every_number_stays_whole_in_80_and_in_120_columns(demo, width):
    text = shown(demo, width)
    assert max(map(len, text.splitlines())) <= width
    # An ellipsis would mean that a column was cut.
    assert "…" not in text
    assert all(whole in text for whole in ("98.6 % ± 1.3", "247 KB", "0.27x", "inconclusive", "baseline"))


def test_a_row_shows_its_numbers_with_their_doubt_and_verdict(make_cell, make_reference, make_report):
    lines = [" ".join(line.split()) for line in shown(make_report(make_reference(), make_cell()), 120).splitlines()]
    assert "int8 tflite 98.0 % ± 1.5 26.0 KB 24.0 KB 0.137 ms 1.37x [1.33, 1.41] ~ in part" in lines
    assert "litert -0.10 equivalent 0.26x 41.0 MB slower" in lines


@pytest.mark.parametrize("width", [80, 120])
def test_reasons_and_what_did_not_pay_are_said_below(demo, width):
    text = " ".join(shown(demo, width).split())
    assert "gru_classifier int8 in litert: unsupported: the quantizer has no int8 kernel for GRU" in text
    assert "vae pruned in openvino: failed: parity: 0.031 above the tolerance" in text
    assert "lenet5 low_rank in onnxruntime: 0.99x bytes, 1.20x slower [1.18, 1.23], accuracy equivalent: did not pay" in text


def test_colour_only_repeats_the_word(demo):
    coloured = shown(demo, 120, color=True)
    assert "\x1b[32m" in coloured and "\x1b[31m" in coloured
    assert "slower" in shown(demo, 120)


def test_markup_in_a_name_is_printed_as_it_is(make_cell, make_report):
    assert "[red]int8[/red]" in shown(make_report(make_cell(variant="[red]int8[/red]")), 120)


def test_an_empty_report_prints(make_report):
    assert "demo" in shown(make_report(), 80)


def test_what_a_whole_target_lacks_is_said_once(make_cell, make_report):
    lacking = [
        make_cell(model=f"net{number}", status="unsupported", reason="no GPU is here", quality=None) for number in range(5)
    ]
    text = shown(make_report(*lacking), 120)
    assert "! 5 cells: unsupported: no GPU is here" in text
    assert text.count("no GPU is here") == 1
    assert shown(make_report(*lacking[:2]), 120).count("no GPU is here") == 2
