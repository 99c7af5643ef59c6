"""No sentence without its evidence, and another one when the evidence is another."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.findings import findings
from reports.record import Anatomy, Bytes, Kind, Layer, Record
from tests.reports.conftest import cell, reference


def kind(operator: str = "Conv", stored: str | None = "float32", computed: str | None = "float32", **changes: Any) -> Kind:
    weights = 0 if stored is None else 1000
    width = {"float32": 4, "int8": 1, "int4": 0.5, None: 0}[stored]
    made = Kind(
        operator, 1, int(weights * width), weights, 0.0 if weights else None, stored, computed, None, f"{operator.lower()}_1"
    )
    return dataclasses.replace(made, **changes)


def anatomy(*kinds: Kind, **changes: Any) -> Anatomy:
    constants = sum(each.bytes for each in kinds)
    count = sum(each.count for each in kinds)
    made = Anatomy(constants, 0, constants, 0, len(kinds), list(kinds), [], count, file=constants + 10)
    return dataclasses.replace(made, **changes)


def told(found: Anatomy | None, record: Record | None = None, beside: Record | None = None) -> str:
    record = record or cell(versus_baseline=None)
    return "\n".join(each.sentence for each in findings(dataclasses.replace(record, anatomy=found), beside or reference()))


INT8_STEP = [{"technique": "quantize_static", "options": {}}]


def test_zeros_that_are_stored_and_read_like_any_number() -> None:
    pruned = anatomy(kind("Conv", count=3, zeros=0.95), kind("Gemm", count=2, zeros=0.95))
    assert "no sparse kernel: 3 Conv and 2 Gemm read dense float32 weights that are 95 % zeros" in told(pruned)
    assert "no sparse kernel" not in told(anatomy(kind(zeros=0.3)))
    assert "no sparse kernel" not in told(anatomy(kind(zeros=0.95, stored=None, weights=0)))
    assert "no sparse kernel" not in told(
        anatomy(
            kind(zeros=0.95, bytes=400, weights=1000, stored="float32"),
            kinds=[dataclasses.replace(kind(zeros=0.95), stored="sparse float32")],
        )
    )


def test_integers_that_are_computed_in_float() -> None:
    mixed = anatomy(kind("MatMul", "int8", count=4, time=0.6), kind("Relu", None, "float32", time=0.4))
    assert (
        "dequantized before use: 4 MatMul compute in float32 with weights stored as int8, and take 60 % of the operators' time"
        in told(mixed)
    )
    assert "dequantized" not in told(anatomy(kind("MatMul", "int8", "int8", count=4)))
    assert "dequantized" not in told(anatomy(kind("Gather", "int8", "float32"))), "a lookup multiplies nothing"
    assert "dequantized" not in told(anatomy(kind("MatMul", "int8", None))), "what it computes in is not known"


def test_a_gru_whose_int8_weights_become_floats() -> None:
    found = told(anatomy(kind("GRU", "int8", "float32")))
    assert "dequantized before use: 1 GRU computes in float32 with recurrent weights stored as int8" in found
    assert "1 GRU reads 4.0 KB of float32 weights, restored from 1.0 KB when the file is loaded" in found


def test_a_weight_that_stayed_float_is_named() -> None:
    mixed = anatomy(kind("MatMul", "int8", "int8"), kind("Gather", largest="embedding"))
    assert "stayed float: 1 Gather keeps float32 weights, 4.0 KB of 5.0 KB, the largest in embedding" in told(mixed)
    assert "stayed float" not in told(anatomy(kind(), kind("Gemm"))), "a float file has nothing that should be integer"
    promised = cell(steps=INT8_STEP)
    assert "no weight is stored in integers: 1 Conv keeps float weights" in told(anatomy(kind()), promised)


def test_what_a_file_holds_besides_weights() -> None:
    headers = anatomy(kind("Conv", "int8", "int8"), file=5000)
    assert "the description of the graph takes 4.0 KB of 5.0 KB, more than the 1.0 KB of weights" in told(headers)
    tables = anatomy(kind("Conv", "int8", "int8"), tables=2000, file=3050)
    assert "scales and zero points take 2.0 KB of 3.0 KB, more than the 1.0 KB of weights" in told(tables)
    both = told(dataclasses.replace(headers, tables=2000))
    assert "the description of the graph takes 2.0 KB and scales and zero points take 2.0 KB of 5.0 KB" in both
    masks = anatomy(kind(), kind("Where", None, "float32", bytes=4000))
    assert "constants that are no weights take 4.0 KB of 8.0 KB: those of 1 Where" in told(masks)
    assert not re.search("description of the graph takes|scales and zero points take|no weights take", told(anatomy(kind())))


def test_a_call_that_costs_more_than_what_is_in_it() -> None:
    small = anatomy(kind(), call_ms=0.012, smallest_ms=0.009)
    assert "call-bound: a graph of a single operator on one number takes 0.00900 ms, this one 0.0120 ms" in told(small)
    assert "30 % of a call is the call itself: a graph" in told(dataclasses.replace(small, call_ms=0.030))
    assert "call-bound" not in told(anatomy(kind(), call_ms=1.0, smallest_ms=0.009))
    assert "call-bound" not in told(anatomy(kind(), call_ms=0.012))


def test_what_spends_most_of_its_time_reading_its_weights() -> None:
    product, convolution = kind("Gemm", bytes=1_600_000, weights=400_000, time=0.5), kind("Conv", bytes=10_000, time=0.5)
    found = anatomy(product, convolution, operators_ms=0.2, read_ms=0.0805)
    sentence = "memory-bound: 1 Gemm takes 0.100 ms for 1,600 KB of weights, which one thread only reads in 0.0800 ms here"
    assert sentence in told(found)
    assert "memory-bound" not in told(dataclasses.replace(found, read_ms=0.005)), "the memory could give ten times as much"
    assert "memory-bound" not in told(dataclasses.replace(found, operators_ms=0.5)), "a third of the time is not most of it"
    assert "memory-bound" not in told(dataclasses.replace(found, operators_ms=None)), "no profiler, no claim"


def test_where_the_time_goes() -> None:
    kinds = [
        kind("Conv", "int8", "int8", time=0.3),
        kind("Softmax", None, time=0.35),
        kind("QuantizeLinear", None, count=2, time=0.35),
    ]
    found = told(anatomy(*kinds, operators_ms=1.0))
    assert "no integer kernel: 1 Softmax computes in float and takes 35 % of the operators' time" in found
    assert "2 QuantizeLinear take 35 % of the operators' time to convert or lay out numbers anew" in found
    before = reference(anatomy=anatomy(kind("Conv", time=1.0), operators_ms=0.2))
    beside = told(anatomy(*kinds, operators_ms=1.0), beside=before)
    assert "Conv, the dearest, takes 0.300 ms in int8 and 0.200 ms in float32 in the reference" in beside


def test_clustered_weights_that_no_coded_file_could_take() -> None:
    clustered = cell(steps=[{"technique": "cluster", "options": {}}])
    turned = anatomy(kind(), kind("Gemm"), codebooks=1, matrices=2)
    assert "no coded file could be made: 1 of the file's 2 weights hold few distinct values" in told(turned, clustered)
    coded = dataclasses.replace(turned, coded_file=True)
    assert "no coded file" not in told(coded, clustered) and "only 1 of the file's 2 weights" in told(coded, clustered)
    assert "coded file" not in told(turned), "nothing was clustered"


def test_a_file_that_nobody_looked_into_has_no_findings() -> None:
    assert told(None) == ""


kinds = st.builds(
    kind,
    st.sampled_from(["Conv", "Gemm", "GRU", "Gather", "Relu", "QuantizeLinear"]),
    st.sampled_from(["float32", "int8", "int4", None]),
    st.sampled_from(["float32", "int8", None]),
    count=st.integers(1, 5),
    time=st.none() | st.floats(0, 1),
)


@given(st.lists(kinds, min_size=1, max_size=5), st.sampled_from([[], INT8_STEP]), st.sampled_from([0.0, 0.4, 0.9]))
def test_every_sentence_has_its_evidence(found: list[Kind], steps: list[Any], zeros: float) -> None:
    found = [dataclasses.replace(each, zeros=zeros if each.weights else None) for each in found]
    sentences = [each.sentence for each in findings(cell(steps=steps, anatomy=anatomy(*found)), reference())]
    evidence = {
        "no sparse kernel": any((each.zeros or 0) >= 0.5 for each in found),
        "dequantized before use": any(each.stored in ("int8", "int4") and each.computed == "float32" for each in found),
        "stayed float": any(each.stored == "float32" for each in found)
        and any(each.stored in ("int8", "int4") for each in found),
        "no weight is stored in integers": bool(steps) and not any(each.stored in ("int8", "int4") for each in found),
        "call-bound": False,
        "no integer kernel": any(each.stored in ("int8", "int4") for each in found)
        and any(each.computed == "float32" and not each.weights for each in found),
        "scales and zero points take": False,
    }
    for words, there in evidence.items():
        assert there or not any(sentence.startswith(words) for sentence in sentences), words


def test_layers_are_not_what_sentences_are_made_from() -> None:
    """The rows are the largest only; what is said is of all operators."""
    row = Layer("conv", "Conv", 4000, 1000, 0.99, "float32", "float32")
    assert "no sparse kernel" not in told(anatomy(kind(zeros=0.0), layers=[row]))


@pytest.mark.parametrize(("file", "said"), [(100_000, True), (20_000_000, False)])
def test_a_peak_that_is_the_runtimes(file: int, said: bool) -> None:
    beside = reference(bytes=Bytes(file, file, 42_000_000))
    assert ("the peak is the runtime's" in told(anatomy(kind()), beside=beside)) == said
