"""What a person did wrong, said in one line: where, what was found, what is allowed, the nearest name."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable


class UserError(Exception):
    """Bad input or an unusable surrounding. The command line prints its one line and exits with 2."""

    def __str__(self) -> str:
        return " ".join(super().__str__().split())


def told(main: Callable[[], None]) -> None:
    """Runs a bench; bad input ends it in one line and exit code 2."""
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def unknown(kind: str, name: str, allowed: Iterable[str], where: str = "") -> UserError:
    """The error for a name that does not exist, with the nearest one that does.

    >>> print(unknown("technique", "distil", ["distill", "prune_structured"], "recipe.toml: variants[1]"))
    recipe.toml: variants[1]: unknown technique 'distil'; did you mean 'distill'? (allowed: distill, prune_structured)
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    prefix = f"{where}: " if where else ""
    return UserError(f"{prefix}unknown {kind} {name!r}{hint} (allowed: {', '.join(names) or 'none'})")
