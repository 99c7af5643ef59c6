import json

import pytest

from models.tasks.classification import Classification
from models.tasks.language import Cached, Language, Recurrent
from models.tasks.translation import Translation
from pipeline.errors import UserError
from targets.device import judge


@pytest.mark.parametrize(
    "task",
    [
        Classification("classifier"),
        Language(Recurrent({"hidden": (1, 8)}), ("a", "b")),
        Language(Cached((2, 2, 16, 4), 8), ("a", "b")),
        Translation((2, 2, 16, 4), ("<pad>", "a"), beam=2),
    ],
    ids=lambda task: type(task).__name__,
)
def test_a_judge_arrives_as_it_was_sent(task):
    assert judge.build(json.loads(json.dumps(judge.describe(task)))) == task


class Mine(Classification):
    """A user's own."""


def test_a_judge_from_elsewhere_is_not_sent():
    with pytest.raises(UserError, match="a judge and its parts are of models/tasks"):
        judge.describe(Mine("x"))


@pytest.mark.parametrize(
    "described",
    [
        {"class": "os:system", "fields": {"command": "true"}},
        {"class": "models.tasks.classification:wilson", "fields": {}},
        {"class": "models.tasks.classification:np.load", "fields": {}},
        {"class": "models.tasks.classification:Task", "fields": {}},
        {"class": "models.tasks.nothing:Task", "fields": {}},
        {"class": "models.tasks.classification:Classification", "fields": {"surprise": 1}},
        {"class": "models.tasks.language:Recurrent", "fields": {"states": {"map": {}}}},
        {"fields": {}},
        None,
    ],
    ids=str,
)
def test_what_is_no_judge_is_not_built(described):
    with pytest.raises(ValueError):
        judge.build(described)
