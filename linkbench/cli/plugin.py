"""linkbench plugin: start a plugin package of your own."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

import click

from linkbench.api.kinds import KINDS
from linkbench.cli.options import examples

FILES = {
    "pyproject.toml": "pyproject.toml.in",
    "README.md": "README.md.in",
    "{module}/__init__.py": "init.py.in",
    "{module}/register.py": "register.py.in",
    "{module}/{kind}.py": "{kind}.py.in",
    "tests/test_{module}.py": "test_{kind}.py.in",
}
"""The files of a package and the parts of the template that they are made of."""

_TAKEN = {"linkbench", "tests", "test", "numpy", "torch", "pydantic", "pytest", "art", "torchattacks"}


@examples("linkbench plugin new my-defender")
@click.group("plugin")
def command() -> None:
    """Start a plugin package of your own."""


@examples(
    "linkbench plugin new my-defender",
    "linkbench plugin new linkbench-mosaic --kind channel --out ~/src",
)
@command.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(list(KINDS)), default="defender", show_default=True, help="What it will be.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("."),
    help="Folder in which the package's folder is made; by default here.",
)
def new(name: str, kind: str, out: Path) -> None:
    """Write a ready package: pyproject, module, registration, test and README.

    NAME is the name of the distribution, in lower case, such as my-defender. A leading "linkbench-" is not part of the
    plugin's own name.
    """
    from linkbench.errors import InputError

    problem = wrong_name(name)
    if problem:
        raise InputError(f"the name {name!r} {problem}")
    folder = out / name
    if folder.exists() or folder.is_symlink():
        raise InputError(f"{folder} already exists; nothing was written. Choose another name or --out, or remove it")
    try:
        for path, text in package(name, kind).items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}. Choose another --out") from error
    click.echo(
        f"Wrote {folder}. Next:\n  cd {folder}\n  pip install --editable '.[test]'\n  pytest\n  linkbench plugins"
    )


def wrong_name(name: str) -> str | None:
    """Why a package cannot have this name, or None."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > 40:
        return "is not 1 to 40 of a-z, 0-9 and single hyphens, a letter first; for example my-defender"
    module, short = name.replace("-", "_"), _short(name)
    if module in _TAKEN | set(sys.stdlib_module_names) or keyword.iskeyword(module):
        return "is taken by another Python package or word; choose another, for example linkbench-" + name
    if not short[0].isalpha():
        return "leaves a plugin name that starts with a digit; a letter must follow 'linkbench-'"
    return None


def package(name: str, kind: str) -> dict[str, str]:
    """The files of a new package: path -> text."""
    from importlib.resources import files

    template = files("linkbench") / "testing" / "template"
    record = KINDS[kind]
    words = {
        "distribution": name,
        "module": name.replace("-", "_"),
        "name": _short(name),
        "class": "".join(part.capitalize() for part in _short(name).split("-")),
        "kind": kind,
        "hook": record.hook,
        "does": record.does,
        "usage": record.usage(kind, _short(name)),
    }
    return {
        path.format(**words): re.sub(
            r"\{\{(\w+)\}\}",
            lambda found: words[found[1]],
            (template / source.format(**words)).read_text(encoding="utf-8"),
        )
        for path, source in FILES.items()
    }


def _short(name: str) -> str:
    return name.removeprefix("linkbench-")
