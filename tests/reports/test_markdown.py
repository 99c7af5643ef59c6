from reports.markdown import render


def test_the_row_of_a_cell(make_cell, make_reference, make_report):
    assert (
        "| int8 | tflite, litert on cpu | 98.0 % ± 1.5 accuracy | -0.10 points, **equivalent** | 26.0 KB | 0.26x | 24.0 KB "
        "| 41.0 MB | 0.137 ms | 1.37x [1.33, 1.41] **slower** | ~ in part |"
    ) in render(make_report(make_reference(), make_cell())).splitlines()


def test_the_header_says_host_versions_command_and_seed(demo):
    head = render(demo).split("##")[0]
    for fact in (
        "AMD EPYC 7B13",
        "openvino 2025.4",
        "./edgepress run demo --target cpu --preset full",
        "seed: 7",
        "c0ffeec0ffee",
    ):
        assert fact in head


def test_every_table_row_has_as_many_cells_as_its_head(demo):
    rows = [line for line in render(demo).splitlines() if line.startswith("|")]
    assert len(rows) == len(demo.records) + 2 * 3
    assert {line.count(" |") + line.count("-|") for line in rows if "---" not in line} == {11}


def test_sections_for_what_paid_and_how_to_read(demo):
    text = render(demo)
    for heading in ("### Paid\n", "### Paid in part", "### Did not pay", "### No result", "## Promised and measured"):
        assert heading in text
    assert "excludes 1 and the ratio differs from it by more than 3 %" in text


def test_a_name_cannot_break_the_table_or_become_markup(make_cell, make_report):
    text = render(make_report(make_cell(variant="a|b\n<img src=x> [x](http://e.example) `c`")))
    row = next(line for line in text.splitlines() if "a\\|b" in line)
    assert "\\<img src=x\\>" in row and "[x]\\(http" in row and "\\`c\\`" in row


def test_nothing_compressed_is_said(make_reference, make_report):
    assert "Nothing was compressed in this run." in render(make_report(make_reference()))
