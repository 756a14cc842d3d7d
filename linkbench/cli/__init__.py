"""The command line. Each command lives in a module of its own, imported only when it is called."""

from __future__ import annotations

import gc
import importlib
import os
import sys

import click

from linkbench.api.cores import BLAS
from linkbench.api.text import shown
from linkbench.cli.options import examples
from linkbench.errors import LinkbenchError, MissingExtraError
from linkbench.version import __version__

COMMANDS = {
    "init": ("linkbench.cli.init", "Write a scenario to start from."),
    "run": ("linkbench.cli.run", "Run a scenario and write its tables and report."),
    "validate": ("linkbench.cli.validate", "Check a scenario file without running it."),
    "schema": ("linkbench.cli.schema", "Print the JSON Schema of scenario files, for editors."),
    "plugins": ("linkbench.cli.plugins", "List installed plugins and their parameters."),
    "check": ("linkbench.cli.check", "Check that plugins do what linkbench expects of their kind."),
    "plugin": ("linkbench.cli.plugin", "Start a plugin package of your own."),
    "genomes": ("linkbench.cli.genomes", "Work with genome tables."),
    "genotype": ("linkbench.cli.genotype", "Read a genotype file: what it tells of eye, hair and skin."),
    "weights": ("linkbench.cli.weights", "Import network weights into safetensors."),
    "predictor": ("linkbench.cli.predictor", "Train, keep and pass on predictors as files."),
    "risk": ("linkbench.cli.risk", "What photos of a person give away, and how far a genome is found by them."),
    "protect": ("linkbench.cli.protect", "Protect the faces in your photos, and check what was written."),
    "verify": ("linkbench.cli.verify", "Check a photo against the same photo protected."),
    "poison": ("linkbench.cli.poison", "Put a pattern of your own into your photos, against whoever trains on them."),
    "app": ("linkbench.cli.app", "Serve a page to this machine that does the same for photos dropped on it."),
    "cohort": ("linkbench.cli.cohort", "Look at a cohort: a contact sheet of its photos."),
    "report": ("linkbench.cli.report", "Show the tables of a finished run again, and rebuild its page."),
    "plot": ("linkbench.cli.plot", "Write a figure of a finished run as PDF, SVG, PNG, HTML or JSON."),
    "list": ("linkbench.cli.listing", "List finished runs and the scenarios that come with the toolkit."),
    "compare": ("linkbench.cli.compare", "Compare two runs, cell by cell."),
    "leaderboard": ("linkbench.cli.leaderboard", "Rank defenders and attackers of several runs on one protocol."),
    "store": ("linkbench.cli.store", "Look after the store of finished stages: size, room, damage, real people."),
    "why": ("linkbench.cli.why", "Say which stages of a cell were recomputed, and why."),
}
"""Every command, its module and its line of help: `--help` imports none of them."""


EXTRAS = {
    "torch": "photos", "PIL": "photos", "safetensors": "photos", "cv2": "faces", "pillow_heif": "faces",
    "pyarrow": "parquet", "scipy": "assignment", "starlette": "app", "uvicorn": "app",
}  # fmt: skip
"""Packages that a plain installation lacks, and the extra that brings each."""


MESSAGE = 100_000
"""Letters of a message; many problems of one file may be said together."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@examples(
    "linkbench run quickstart",
    "linkbench run scenarios/quickstart.yaml --dry-run",
    "linkbench plugins",
)
@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="linkbench")
@click.option("--debug", is_flag=True, help="Show tracebacks instead of messages.")
def cli(debug: bool) -> None:
    """Measure how well attackers link public face photos to genomes, and how well defenders stop them."""


def main() -> None:
    """Entry point: messages instead of tracebacks, and exit statuses that scripts can rely on.

    0: all went well. 1: some cells of a run failed. 2: the input is at fault, nothing was written.
    130: interrupted; run again to go on.
    """
    gc.set_threshold(100_000, 20, 100)  # start-up makes many objects and hardly a cycle: an eighth of a short command
    os.environ.update(BLAS)  # before NumPy is imported
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        status = cli.main(args=arguments, prog_name="linkbench", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted. What is finished is kept; run the same command again to go on.", err=True)
        status = 130
    except BrokenPipeError:  # the reader of a pipe went away: not our error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except ModuleNotFoundError as error:
        if debug or error.name not in EXTRAS:
            raise
        click.echo(f"linkbench: {MissingExtraError('This command', error.name, EXTRAS[error.name])}", err=True)
        status = MissingExtraError.exit_status
    except LinkbenchError as error:
        if debug:
            raise
        said = shown(error, MESSAGE)
        click.echo(f"linkbench: {said}" if "\n" not in said else said, err=True)
        status = error.exit_status
    sys.exit(status if isinstance(status, int) else 0)
