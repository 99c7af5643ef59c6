"""Options of a technique, model, data set …: a class's fields, checked by pydantic, unknown names refused."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import UserError, unknown
from pipeline.registry import find

if TYPE_CHECKING:
    import pydantic

T = TypeVar("T")


@dataclass(frozen=True)
class Spec:
    """A name in a registry folder (or a user's file) with its options: what a recipe says, and what is stored."""

    kind: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, where: str = "") -> Any:
        """The class of that name with these options; a UserError names the option, what was found and allowed."""
        return build(find(self.kind, self.name, where), self.options, f"{where or self.kind} ({self.name})")


def build(cls: type[T], options: Mapping[str, Any], where: str) -> T:
    """A dataclass from untrusted options: no unknown key, no wrong type, every constraint kept."""
    fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    for name in options:
        if name not in fields:
            raise unknown("option", name, fields, where)
    if not fields:
        return cls()
    import pydantic

    try:
        # JSON mode is strict about types and still takes a list for a tuple, which is all that TOML can write.
        return pydantic.TypeAdapter(cls).validate_json(json.dumps(options), strict=True)
    except pydantic.ValidationError as error:
        raise UserError(f"{where}: {first_line(error)}") from None


def parse(cls: type[Any], words: Iterable[str], where: str) -> dict[str, Any]:
    """The options that `NAME=VALUE` words give for a class, still to be checked by `build`.

    >>> parse(Spec, ["name=50", "options={}"], "--option")
    {'name': '50', 'options': {}}
    """
    kinds = {field.name: field.type for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    found = dict[str, Any]()
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"{where} {word!r}: expected NAME=VALUE")
        found[name] = value
        if kinds.get(name) not in ("str", str):
            with contextlib.suppress(json.JSONDecodeError):  # then it is a text, which `build` refuses if it must not be one
                found[name] = json.loads(value)
    return found


def first_line(error: pydantic.ValidationError) -> str:
    """The first of pydantic's errors in one line: where, what was found, what is allowed."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "value"
    found = "" if first["type"] == "missing" else f" (found {first['input']!r})"
    return f"{place}: {first['msg']}{found}{_nearest(first)}"


def _nearest(error: Any) -> str:
    """The nearest of the words that are allowed, where only some words are."""
    if error["type"] != "literal_error":
        return ""
    near = difflib.get_close_matches(str(error["input"]), re.findall(r"'([^']*)'", error["ctx"]["expected"]), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def values(instance: Any) -> dict[str, Any]:
    """The options of a built class, defaults included, as JSON values."""
    if not dataclasses.is_dataclass(instance) or isinstance(instance, type):
        return {}
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(instance)))
    return plain
