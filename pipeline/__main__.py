"""The command line: parses, calls, prints. Heavy imports stay inside the commands, so that --help answers at once."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import NoReturn

import click

from pipeline.errors import UserError
from pipeline.files import disk_full
from pipeline.places import home

MOST_LISTED = 16
"""Fetched files that are printed one by one."""
RECIPE = click.argument("recipe", type=click.Path(path_type=Path))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Trains, compresses, exports, benchmarks and reports edge models. Every figure is measured on the file that ships."""


@cli.command()
@RECIPE
@click.option("--target", default="cpu", show_default=True, help="Where to measure.")
@click.option("--device", default="", help="Which one: user@host, emulated-pi4 ...")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the target, e.g. samples=500 on a board.")
@click.option("--preset", type=click.Choice(["quick", "full"]), help="Instead of the recipe's own.")
@click.option("--train-device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to train.")
@click.option("--dry-run", is_flag=True, help="Print the plan: what is cached, what would run, and for how long.")
@click.option("--aa", is_flag=True, help="Measure every candidate against itself too, and report the verdicts.")
@click.option("--sustained", type=click.FloatRange(min=0), default=0.0, metavar="MINUTES", help="Also run each file so long.")
@click.option(
    "--publish", type=click.Path(path_type=Path), help="Also write the report, but no pictures or sounds, to PUBLISH.{json,md}."
)
@click.option("--resume", is_flag=True, help="Do nothing when PUBLISH.json already holds this plan from this host.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan or the report as JSON.")
def run(
    recipe: Path,
    target: str,
    device: str,
    options: tuple[str, ...],
    preset: str | None,
    train_device: str,
    dry_run: bool,
    aa: bool,
    sustained: float,
    publish: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Train, compress, export, benchmark and report what RECIPE says."""
    from pipeline.run import Options, dry, run

    asked = Options(recipe, target, device, options, sustained, preset, train_device, aa, as_json, publish, resume)
    sys.exit(dry(asked) if dry_run else run(asked))


@cli.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--fail-on", multiple=True, metavar="RULE", help='Exit 1 when broken, e.g. "quality drop > 0.5 points".')
def compare(a: Path, b: Path, fail_on: tuple[str, ...]) -> None:
    """Line up two reports and print what changed beyond its uncertainty."""
    from rich.console import Console

    from reports import compare as comparing
    from reports.document import load

    rules = [comparing.Rule.parse(rule) for rule in fail_on]
    before, after = load(a), load(b)
    changes = comparing.compare(before, after)
    console = Console()
    for line in comparing.setting(before, after):
        console.print(line, style="dim", markup=False, highlight=False)
    console.print(comparing.table(changes))
    broken = [*comparing.violations(changes, rules), *comparing.uncovered(changes, rules)]
    for line in broken:
        console.print(line, style="red", markup=False, highlight=False)
    sys.exit(1 if broken else 0)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("model")
@click.argument("variant")
@click.option("--runtime", help="Only in this one.")
def layers(run: Path, model: str, variant: str, runtime: str | None) -> None:
    """Layer by layer: bytes, zeros, precision, time and sensitivity of MODEL's VARIANT in RUN (a run's folder, or a report)."""
    from pipeline.layers import show

    show(run, model, variant, runtime)


@cli.command()
@click.argument("reports", nargs=-1, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def coverage(reports: tuple[Path, ...], as_json: bool) -> None:
    """Every architecture in every format, as REPORTS show (those published and those of your runs when none is named)."""
    from pipeline.coverage import coverage

    coverage(reports, as_json)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def doctor(as_json: bool) -> None:
    """Versions, CPU features, threads, and each target: usable, or why not."""
    from pipeline.doctor import doctor

    doctor(as_json)


@cli.group()
def data() -> None:
    """Data sets."""


@data.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Download a data set's files (checked, resumed)."""
    from rich.console import Console

    from pipeline.fetch import fetch
    from pipeline.places import data_root
    from pipeline.progress import bar

    console = Console(stderr=True)
    with bar(console, f"fetching {name}") as progress:
        files = fetch(name, data_root(), progress)
    shown = [f"{len(files)} files in {files[0].parent}"] if len(files) > MOST_LISTED else list(map(str, files))
    click.echo("\n".join(shown) or f"{name}: nothing to fetch, it ships inside a package")


@cli.group()
def store() -> None:
    """The store of finished steps."""


@store.command()
def ls() -> None:
    """List the entries: what, how big, how old."""
    from pipeline.housekeeping import listing

    listing()


@store.command()
@click.option("--older-than", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Days since the last use.")
def gc(older_than: float) -> None:
    """Remove what was not used for so many days."""
    from pipeline.housekeeping import collect

    collect(older_than)


@store.command()
@click.option("--repair", is_flag=True, help="Remove what is damaged, so that the next run rebuilds it.")
def check(repair: bool) -> None:
    """Verify every byte; exit 1 when something is wrong."""
    from pipeline.housekeeping import check

    sys.exit(check(repair))


def main() -> None:
    """Runs the command line; bad input and unusable surroundings end in one line and exit code 2."""
    try:
        sys.exit(cli.main(prog_name="edgepress", standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.UsageError as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        _stop(error.format_message() + hint)
    except click.Abort:
        _stop("interrupted; finished steps are kept, run again to go on", 130)
    except UserError as error:
        _stop(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _stop(str(disk_full(Path(error.filename) if error.filename else home())))  # a write does not say where
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            _stop(f"{error.filename or 'writing'}: {error.strerror}")
        raise


def _stop(line: str, code: int = 2) -> NoReturn:
    click.echo(f"edgepress: {' '.join(line.split())}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
