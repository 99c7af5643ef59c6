"""report.json, read and written: checked against schema.json both ways, replaced whole or not at all."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import jsonschema
from jsonschema.exceptions import ValidationError, best_match

from pipeline.errors import UserError
from pipeline.files import write_atomic
from reports import record as nouns
from reports.record import SCHEMA, Record, Report, Run

Made = TypeVar("Made")
NAME = "report.json"
JSON_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


def to_json(report: Report) -> dict[str, Any]:
    """The report as JSON data, `schema` first."""
    data = dataclasses.asdict(report)
    return {"schema": data.pop("schema"), **data}


def from_json(data: dict[str, Any], where: str = "report") -> Report:
    """The report that the data describes; `where` names it in the one-line refusal of anything else."""
    _check(data, where)
    run = Run(**{**data["run"], "host": nouns.Host(**data["run"]["host"])})
    return Report(run, [_record(raw) for raw in data["records"]], data["schema"])


def save(report: Report, path: Path) -> None:
    """Writes report.json; a reader sees the old file or the new one, never half of one."""
    data = to_json(report)
    _check(data, str(path))
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(path, text.encode())


def load(path: Path) -> Report:
    """A report from its file, or from the folder of its run."""
    file = path / NAME if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; give a {NAME} or a run's folder that holds one") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}; give a {NAME} or a run's folder") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: found bytes that are no text; a {NAME} is UTF-8 JSON") from None
    try:
        data = json.loads(text, parse_constant=_no_such_number)
    except json.JSONDecodeError as error:
        what = "ends in the middle (cut short?)" if error.pos >= len(text.rstrip()) else error.msg
        raise UserError(f"{file}: line {error.lineno}, column {error.colno}: not JSON: {what}") from None
    except ValueError as error:
        raise UserError(f"{file}: {error}") from None
    return from_json(data, str(file))


def _no_such_number(name: str) -> NoReturn:
    raise ValueError(f"found {name}, which JSON does not know; what was not measured is null")


def _maybe(make: Callable[..., Made], raw: dict[str, Any] | None) -> Made | None:
    return None if raw is None else make(**raw)


def quality(raw: dict[str, Any]) -> nouns.Quality:
    """A quality from its JSON form."""
    parts = {
        "versus_reference": _maybe(nouns.QualityDelta, raw.get("versus_reference")),
        "details": [nouns.Detail(**each) for each in raw.get("details", ())],
        "seeds": _maybe(nouns.Seeds, raw.get("seeds")),
        "examples": [nouns.Example(**each) for each in raw.get("examples", ())],
    }
    return nouns.Quality(**{**raw, **parts})


def _latency(raw: dict[str, Any] | None) -> nouns.Latency | None:
    return nouns.Latency(**{**raw, "sustained": _maybe(nouns.Sustained, raw.get("sustained"))}) if raw else None


def _throughput(raw: dict[str, Any] | None) -> nouns.Throughput | None:
    return nouns.Throughput([nouns.Batch(**each) for each in raw["points"]], raw["ended"]) if raw else None


def anatomy(raw: dict[str, Any]) -> nouns.Anatomy:
    """What is in a file, from its JSON form."""
    parts = {"kinds": [nouns.Kind(**each) for each in raw["kinds"]], "layers": [nouns.Layer(**each) for each in raw["layers"]]}
    return nouns.Anatomy(**{**raw, **parts})


def _record(raw: dict[str, Any]) -> Record:
    nested = {
        "quality": quality(raw["quality"]) if raw.get("quality") else None,
        "bytes": nouns.Bytes(**raw.get("bytes", {})),
        "latency_ms": _latency(raw.get("latency_ms")),
        "versus_baseline": _maybe(nouns.LatencyRatio, raw.get("versus_baseline")),
        "versus_self": _maybe(nouns.LatencyRatio, raw.get("versus_self")),
        "instructions": _maybe(nouns.Instructions, raw.get("instructions")),
        "energy_mj": _maybe(nouns.Energy, raw.get("energy_mj")),
        "benchmark_model": _maybe(nouns.BenchmarkModel, raw.get("benchmark_model")),
        "throughput": _throughput(raw.get("throughput")),
        "parity": _maybe(nouns.Parity, raw.get("parity")),
        "predicted": _maybe(nouns.Predicted, raw.get("predicted")),
        "anatomy": anatomy(raw["anatomy"]) if raw.get("anatomy") else None,
    }
    return Record(**{**raw, **nested})


@functools.cache
def _validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)


def _check(data: object, where: str) -> None:
    """One line for the first thing that is wrong; the version before all else, since it explains the rest."""
    if isinstance(data, dict) and data.get("schema", SCHEMA) != SCHEMA:
        raise UserError(f"{where}: $.schema: found {data['schema']!r}, this version reads {SCHEMA!r}")
    error = best_match(_validator().iter_errors(data))
    if error is not None:
        raise UserError(f"{where}: {error.json_path}: {_words(error)}")


def _words(error: ValidationError) -> str:
    """What was found and what is allowed."""
    found: Any = error.instance
    allowed: Any = error.validator_value
    if error.validator == "enum":
        return f"found {found!r}; allowed: {', '.join(allowed)}"
    if error.validator == "type":
        shown = "null" if found is None else f"{JSON_NAMES[type(found)]} ({found!r:.40})"
        return f"found {shown}; allowed: {allowed if isinstance(allowed, str) else ' or '.join(allowed)}"
    if error.validator == "required":
        missing = [key for key in allowed if key not in found]
        return f"found no {', '.join(missing)}; required: {', '.join(allowed)}"
    if error.validator == "additionalProperties" and isinstance(error.schema, dict):
        known = error.schema["properties"]
        key = next(key for key in found if key not in known)
        near = difflib.get_close_matches(key, known, n=1)
        return f"found unknown key {key!r}{f'; did you mean {near[0]!r}?' if near else ';'} (allowed: {', '.join(known)})"
    return f"found {found!r:.40}; allowed: {error.validator} {allowed!r}"
