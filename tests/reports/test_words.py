import pytest

from reports import words
from reports.record import Quality


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (words.kilobytes(None), "-"),
        (words.kilobytes(0), "0.0 KB"),
        (words.kilobytes(26_140), "26.1 KB"),
        (words.kilobytes(99_960), "100 KB"),
        (words.kilobytes(1_731_440), "1,731 KB"),
        (words.megabytes(41_300_000), "41.3 MB"),
        (words.ratio(0.2649), "0.26x"),
        (words.ratio(0.0312), "0.031x"),
        (words.milliseconds(99.99), "100. ms"),
        (words.difference(-0.00001, "accuracy"), "+0.00 points"),
        (words.difference(-0.132, "nll"), "-0.132"),
    ],
)
def test_numbers_are_rounded_to_what_a_reader_needs(found, shown):
    assert found == shown


def test_the_wider_side_of_an_interval_is_shown():
    assert words.plus_minus(Quality("accuracy", 1.0, 0.98, 1.0, 100, True)) == "100.0 % ± 2.0"
    assert words.plus_minus(None) == "-"


def test_names_grow_only_until_they_are_unique(make_cell):
    assert words.names([make_cell(), make_cell(variant="pruned")]) == ["lenet5 int8 in litert", "lenet5 pruned in litert"]
    assert words.names([make_cell(), make_cell(target="rpi")]) == ["lenet5 int8 in litert on cpu", "lenet5 int8 in litert on rpi"]
