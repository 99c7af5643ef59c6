"""Options of a technique, model, data set …: a class's fields, checked by pydantic, unknown names refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic

from pipeline.core import Json, Spec
from pipeline.errors import UserError, unknown
from pipeline.registry import find

T = TypeVar("T")


def checked(spec: Spec, where: str = "") -> Any:
    """The class that a spec names, built with its options; a UserError names the option, what was found and allowed."""
    return build(find(spec.kind, spec.name, where), spec.options, f"{where or spec.kind} ({spec.name})")


def build(cls: type[T], options: Mapping[str, Any], where: str) -> T:
    """A dataclass from untrusted options: no unknown key, no wrong type, every constraint kept."""
    fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    for name in options:
        if name not in fields:
            raise unknown("option", name, fields, where)
    if not fields:
        return cls()
    try:
        # JSON mode is strict about types and still takes a list for a tuple, which is all that TOML can write.
        return pydantic.TypeAdapter(cls).validate_json(json.dumps(options), strict=True)
    except pydantic.ValidationError as error:
        raise UserError(f"{where}: {first_line(error)}") from None


def first_line(error: pydantic.ValidationError) -> str:
    """The first of pydantic's errors in one line: where, what was found, what is allowed."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "value"
    found = "" if first["type"] == "missing" else f" (found {first['input']!r})"
    return f"{place}: {first['msg']}{found}"


def values(instance: Any) -> Json:
    """The options of a built class, defaults included, as JSON values."""
    if not dataclasses.is_dataclass(instance) or isinstance(instance, type):
        return {}
    plain: Json = json.loads(json.dumps(dataclasses.asdict(instance)))
    return plain
