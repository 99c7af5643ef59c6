"""What the tests of all ways to a device share: an emulated board that answers, what is set up there, a small candidate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.tasks.classification import Classification
from targets._provision import prepare
from targets._sampling import Candidate, ToJudge
from targets.transport.remote import Place
from targets.transport.ssh import Ssh
from tests.conftest import HOME
from tests.targets.emulated import PLACE, world


@pytest.fixture(scope="module")
def ssh() -> Iterator[Ssh]:
    with world(HOME) as found:
        yield found


@pytest.fixture(scope="module")
def place(ssh: Ssh) -> Place:
    return prepare(ssh, PLACE, HOME / "wheels")[1]


@pytest.fixture
def candidate(classifier: Path) -> Candidate:
    inputs = np.eye(4, 3, dtype=np.float32)
    judging = ToJudge({"classifier": (classifier,)}, Classification("classifier"), {"x": inputs, "label": np.array([0, 1, 2, 2])})
    return Candidate((classifier,), {"x": inputs[:1]}, judging=judging)
