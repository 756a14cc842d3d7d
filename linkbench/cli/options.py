"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from linkbench.scenario.bounds import MOST_CELLS
from linkbench.scenario.shipped import find, names

if TYPE_CHECKING:
    from linkbench.registry.spec import Spec


class ScenarioFile(click.ParamType):  # type: ignore[type-arg]
    """A scenario file, or the name of one that comes with the toolkit; a file of that name goes first."""

    name = "scenario"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; of a file that is not there the reader of scenarios says so."""
        path = Path(value)
        return path if path.exists() else find(str(value)) or path

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names of scenarios of the toolkit, and files."""
        known = [CompletionItem(name) for name in names() if name.startswith(incomplete)]
        return [*known, CompletionItem(incomplete, type="file")]


scenario_file = click.argument("scenario", type=ScenarioFile(), metavar="SCENARIO")
overrides = click.option(
    "--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE",
    help="Change a value of the file, e.g. --set cohort.count=100. May be repeated.",
)  # fmt: skip
most_cells = click.option(
    "--max-cells", "most_cells", type=click.IntRange(min=1), default=MOST_CELLS, show_default=True,
    help="Refuse a scenario whose grid has more cells.",
)  # fmt: skip
store_address = click.option(
    "--store", metavar="FOLDER|URL", help="Finished stages: a folder, or s3://bucket/prefix.  [default: user cache]"
)


Command = TypeVar("Command", bound=Callable[..., Any])


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in their order."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


how_to_read = with_options(
    click.option("--sample", help="The person to read, in a VCF file of several."),
    click.option(
        "--assembly", type=click.Choice(["36", "37", "38"]), help="The build of the positions.  [default: found out]"
    ),
    click.option(
        "--absent", type=click.Choice(["unknown", "reference"]), default="unknown", show_default=True,
        help="What SNPs are that a VCF file does not list; reference, where it lists every variant of a whole genome.",
    ),
)  # fmt: skip
"""How a genotype file is read: the parameters `sample`, `assembly` and `absent`."""

full_option = click.option("--full", is_flag=True, help="Show all cells, not one screen.")

AnyCommand = TypeVar("AnyCommand", bound=click.Command)


def examples(*lines: str) -> Callable[[AnyCommand], AnyCommand]:
    """The Examples at the end of a command's help, one line each; stands above `@click.command`."""

    def write(ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            formatter.write_text("\b\n" + "\n".join(lines))

    def close(command: AnyCommand) -> AnyCommand:
        command.format_epilog = write  # type: ignore[method-assign]
        return command

    return close


def parse_params(kind: str, name: str, overrides: tuple[str, ...], option: str = "--set") -> Spec:
    """One plugin with the parameters KEY=VALUE given on the command line; values are read as YAML.

    Raises click.BadParameter, ScenarioError (no YAML) and InputError (unknown plugin or parameter, a list).
    """
    from linkbench.errors import InputError
    from linkbench.registry.spec import parse_spec
    from linkbench.scenario.yaml import location_name

    specs, wrong = parse_spec(kind, {"use": name, **read_params(overrides, option)}, ())
    if wrong:
        raise InputError("; ".join(f"{location_name(place)}: {what}".removeprefix(": ") for place, what in wrong))
    if len(specs) != 1:
        raise InputError(f"{option} gave a list, which spans a grid; give one value to each parameter")
    return specs[0]


def read_params(overrides: tuple[str, ...], option: str = "--set") -> dict[str, Any]:
    """The parameters KEY=VALUE given on the command line, not checked; raises click.BadParameter and ScenarioError."""
    from linkbench.scenario.yaml import parse_yaml

    params: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"expected KEY=VALUE, found {text!r}", param_hint=option)
        params[key] = parse_yaml(option, value).data
    return params
