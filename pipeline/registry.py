"""A folder is its own registry: one file, one final class, found by the file's name.

`compress/low_rank.py` holds one class marked `typing.final`; `technique = "low_rank"` finds it. A trailing underscore
keeps a file from shadowing the package it is about (`export/onnx_.py` is the format `onnx`), a leading one marks a
helper that is no entry. A name that ends in `.py` is a user's own file with a class of the same shape.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import UserError, unknown

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "model": "models",
    "data": "models.data",
    "technique": "pipeline.compress",
    "format": "pipeline.export",
    "runtime": "targets.runtimes",
    "target": "targets",
}


def names(kind: str) -> list[str]:
    """The names of a kind: its folder's files."""
    package = importlib.import_module(FOLDERS[kind])
    found = (info.name for info in pkgutil.iter_modules(package.__path__) if not info.ispkg)
    return sorted(name.rstrip("_") for name in found if not name.startswith("_"))


def find(kind: str, name: str, where: str = "") -> type[Any]:
    """The class that `name` stands for; a UserError with the nearest name when there is none."""
    module = _user_module(kind, Path(name), where) if name.endswith(".py") else _our_module(kind, name, where)
    return _final_class(module, kind, name, where)


def source_file(kind: str, name: str) -> Path:
    """The file that holds a name's class."""
    if name.endswith(".py"):
        return Path(name).resolve()
    folder = ROOT / FOLDERS[kind].replace(".", "/")
    plain = folder / f"{name}.py"
    return plain if plain.exists() else folder / f"{name}_.py"


def _our_module(kind: str, name: str, where: str) -> ModuleType:
    if name not in names(kind):
        raise unknown(kind, name, names(kind), where)
    return importlib.import_module(f"{FOLDERS[kind]}.{source_file(kind, name).stem}")


def _user_module(kind: str, path: Path, where: str) -> ModuleType:
    prefix = f"{where}: " if where else ""
    if not path.is_file():
        raise UserError(f"{prefix}{kind} file {path} does not exist")
    # The name carries the content, so that a changed file is imported anew and two files of one name stay apart.
    module_name = f"_user_{path.stem}_{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, path.resolve())
    if spec is None or spec.loader is None:
        raise UserError(f"{prefix}{kind} file {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # somebody else's code: whatever it raises is one line
        del sys.modules[module_name]
        raise UserError(f"{prefix}{kind} file {path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _final_class(module: ModuleType, kind: str, name: str, where: str) -> type[Any]:
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__ and getattr(value, "__final__", False)
    ]
    if len(found) != 1:
        prefix = f"{where}: " if where else ""
        raise UserError(f"{prefix}{kind} {name!r} must hold exactly one class marked @final, found {len(found)}")
    return found[0]
