from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Len

from pipeline.core import Spec, Train
from pipeline.errors import UserError
from pipeline.options import build, parse, values
from pipeline.registry import FOLDERS, find, names


@dataclass(frozen=True)
class Options:
    rate: float = 0.5
    rounds: Annotated[int, Ge(1)] = 3
    per_channel: bool = True
    method: Literal["entropy", "minmax"] = "minmax"
    layers: Annotated[tuple[str, ...], Len(1)] = ("all",)
    student: dict[str, Any] = field(default_factory=dict)
    epochs: int | None = None


class NoOptions:
    pass


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rounds": "3"}, "rounds: Input should be a valid integer (found '3')"),
        ({"rounds": 2.5}, "rounds: Input should be a valid integer"),
        ({"rounds": True}, "rounds: Input should be a valid integer"),
        ({"rounds": 0}, "rounds: Input should be greater than or equal to 1 (found 0)"),
        ({"rate": "fast"}, "rate: Input should be a valid number (found 'fast')"),
        ({"per_channel": 1}, "per_channel: Input should be a valid boolean (found 1)"),
        ({"method": "max"}, "method: Input should be 'entropy' or 'minmax' (found 'max')"),
        ({"layers": []}, "layers: "),
        ({"layers": ["a", 1]}, "layers.1: Input should be a valid string (found 1)"),
        ({"student": 3}, "student: "),
        ({"rouns": 3}, "unknown option 'rouns'; did you mean 'rounds'?"),
    ],
    ids=str,
)
def test_a_wrong_option_is_one_line_with_place_and_finding(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as error:
        build(Options, given, "recipe.toml: steps[2]")
    assert str(error.value).startswith("recipe.toml: steps[2]: ") and words in str(error.value)
    assert "\n" not in str(error.value)


def test_what_toml_can_write_becomes_what_the_class_declares() -> None:
    built = build(Options, {"rate": 1, "layers": ["conv1"], "student": {"width": 0.5}, "epochs": 4}, "")
    assert built == Options(rate=1.0, layers=("conv1",), student={"width": 0.5}, epochs=4)


def test_words_of_a_command_line_become_what_the_class_declares() -> None:
    words = ["rounds=4", "per_channel=false", 'layers=["conv1"]', "method=minmax", "rate=2", "rate=1e-1"]
    assert build(Options, parse(Options, words, ""), "") == Options(0.1, 4, per_channel=False, layers=("conv1",))
    with pytest.raises(UserError, match="--option 'rounds': expected NAME=VALUE"):
        parse(Options, ["rounds"], "--option")
    with pytest.raises(UserError, match="unknown option 'rouns'; did you mean 'rounds'"):
        build(Options, parse(Options, ["rouns=3"], ""), "")


def test_a_class_without_options_takes_none() -> None:
    assert isinstance(build(NoOptions, {}, ""), NoOptions)
    with pytest.raises(UserError, match=r"unknown option 'a'; .*none"):
        build(NoOptions, {"a": 1}, "")
    assert values(NoOptions()) == {}


def test_options_survive_being_written_as_json() -> None:
    written = values(Options(layers=("a", "b")))
    assert written["layers"] == ["a", "b"] and build(Options, written, "") == Options(layers=("a", "b"))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in FOLDERS for name in names(kind)])
def test_every_class_of_ours_can_be_made_without_options_and_refuses_unknown_ones(kind: str, name: str) -> None:
    built = Spec(kind, name).build()
    assert isinstance(built, find(kind, name))
    assert Spec(kind, name, values(built)).build() == built, "its options, written out, make the same"
    with pytest.raises(UserError, match="no_such_option"):
        Spec(kind, name, {"no_such_option": 1}).build()


@pytest.mark.parametrize(
    "given",
    [{"epochs": 0}, {"batch": 0}, {"learning_rate": -1.0}, {"samples": 0}, {"warmup": 1.5}, {"clip": 0.0}, {"patience": -1}],
)
def test_training_options_have_limits(given: dict[str, object]) -> None:
    with pytest.raises(UserError, match=f"train: {next(iter(given))}: Input should be"):
        build(Train, given, "train")


def test_a_word_that_is_not_allowed_gets_the_nearest_that_is() -> None:
    with pytest.raises(UserError, match=r"'adamw' or 'sgd' \(found 'adam'\); did you mean 'adamw'\?"):
        build(Train, {"optimizer": "adam"}, "train")
