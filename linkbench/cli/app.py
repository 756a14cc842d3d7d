"""linkbench app: a page on this machine that shows what photos give away, and protects them."""

from __future__ import annotations

from pathlib import Path

import click

from linkbench.cli.options import examples, store_address
from linkbench.cli.protect import background_of, scenario_option


@examples("linkbench app", "linkbench app --port 8765 --no-browser")
@click.command("app")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where to serve.  [default: any that is free]")
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@scenario_option
@store_address
def command(port: int, no_browser: bool, scenario: Path | None, store: str | None) -> None:
    """Serve a page to this machine alone: what photos give away, and the same photos protected, to take home.

    The page does what `linkbench risk` and `linkbench protect` do. It is served on 127.0.0.1 to whoever has the
    address that is printed, which holds a random token; it loads nothing from elsewhere and sends nothing anywhere.
    What is dropped on it lies in a temporary folder and is removed when the page is closed, and when the command ends.
    """
    from linkbench.app.serve import serve
    from linkbench.app.tasks import Desk

    def ready(address: str) -> None:
        click.echo(
            f"{address}\nThe address is the key: keep it to yourself. Ctrl-C ends the page and removes its files."
        )
        if not no_browser:
            click.launch(address)

    serve(Desk(background_of(scenario, store), PEOPLE), port, ready)
    click.echo("Ended; what was brought to the page is removed.")


PEOPLE = (100_000, 10_000)
"""Genomes in the pile of `linkbench risk`, a tenth of the command's so that a page need not wait, and in that of the
judges of a protection."""
