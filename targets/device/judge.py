"""Accuracy on the device: the judge that the host has, over the same samples. Standard library and numpy only.

A judge travels as JSON: its class, which must be one of models/tasks, and its fields. Nothing else is ever imported by name.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.core import Arrays, Dataset, Domain, Predict, Task
from pipeline.errors import UserError
from pipeline.evaluate import collect

Json = dict[str, Any]
HOME = "models.tasks."
PLAIN = (str, int, float, bool, type(None))


def describe(task: Task) -> Json:
    """The judge as JSON. UserError for one that a device cannot be told of: a user's own.

    >>> from models.tasks.classification import Classification
    >>> describe(Classification("classifier"))
    {'class': 'models.tasks.classification:Classification', 'fields': {'graph': 'classifier'}}
    """
    described: Json = _encode(task)
    return described


def build(described: Json) -> Task:
    """The judge that JSON describes. ValueError for what is none."""
    try:
        task: Task = _decode(described)
        task.collect  # noqa: B018  # a judge's part is no judge
    except (KeyError, AttributeError, TypeError, ImportError) as error:
        raise ValueError(f"the judge cannot be built here: {type(error).__name__}: {error}") from error
    return task


def evidence(task: Task, predictors: Mapping[str, Predict], samples: Arrays, progress: Callable[..., None]) -> Arrays:
    """What the judge notes of each of the prepared samples."""
    return collect(task, predictors, Dataset(Domain("device", {}), {"test": samples}, ""), "test", progress=progress)


def _encode(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, (tuple, list)):
        return [_encode(each) for each in value]
    if isinstance(value, Mapping):
        return {"map": {str(key): _encode(each) for key, each in value.items()}}
    kind = type(value)
    if not dataclasses.is_dataclass(kind) or not kind.__module__.startswith(HOME):
        raise UserError(f"a device is not sent {kind.__module__}.{kind.__qualname__}: a judge and its parts are of models/tasks")
    fields = {field.name: _encode(getattr(value, field.name)) for field in dataclasses.fields(kind)}
    return {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": fields}


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(each) for each in value)
    if not isinstance(value, dict):
        return value
    if "map" in value:
        return {key: _decode(each) for key, each in value["map"].items()}
    module, _, name = value["class"].partition(":")
    if not module.startswith(HOME) or not name.isidentifier():
        raise ValueError(f"{value['class']!r} is no judge: it is not of models/tasks")
    kind = getattr(importlib.import_module(module), name)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module):
        raise ValueError(f"{value['class']!r} is no judge")
    return kind(**{key: _decode(each) for key, each in value["fields"].items()})
