"""linkbench predictor: trained predictors as files that people can have."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkbench.cli.options import examples, overrides, scenario_file, store_address
from linkbench.cli.output import output_file

if TYPE_CHECKING:
    from linkbench.models.predictor_files import Accuracy, Facts

NAME = r"[a-z0-9][a-z0-9-]{0,62}"
"""Names of predictors, which become file names."""


@examples("linkbench predictor list", "linkbench predictor show rendered")
@click.group("predictor")
def command() -> None:
    """Train, keep and pass on predictors: networks that read phenotypes from photos, as files."""


@examples(
    "linkbench predictor train scenarios/quickstart.yaml --out mine.safetensors",
    "linkbench predictor train mine.yaml --model robust --title Album --licence CC0-1.0 --out robust.safetensors",
)
@command.command("train")
@scenario_file
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@click.option("--model", help="The model of the scenario, where it has several.")
@click.option("--title", default="", help="A line that says what it is.")
@click.option("--licence", default="", help="Under which terms the file may be used, such as CC0-1.0.")
@store_address
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda[:N]", help="Where networks run.")
@overrides
@click.option(
    "--limit", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Longest time of one stage."
)
def train(
    scenario: Path,
    out: Path,
    model: str | None,
    title: str,
    licence: str,
    store: str | None,
    device: str,
    overrides: tuple[str, ...],
    limit: float | None,
) -> None:
    """Train a model of a scenario and write it to a file.

    The scenario says everything: genomes, cohort, split, architecture, recipe and seed. Nobody is linked. The file
    holds the weights, how they came about, and how often they are right about people kept from training. Of real
    people it holds no photo and no number of a single person.
    """
    from linkbench.execution.device import check_device, check_torch
    from linkbench.execution.predictor import train_predictor
    from linkbench.execution.run import Run
    from linkbench.execution.watch import watcher
    from linkbench.plan.training import plan_training
    from linkbench.results.folder import check_folder
    from linkbench.scenario.load import load_scenario
    from linkbench.store import tensorfile
    from linkbench.store.location import default_address
    from linkbench.store.store import Store

    _check_out(out)
    check_device(device)
    check_torch()
    check_folder(out.parent)
    parsed = load_scenario(scenario, overrides)
    training = plan_training(parsed, model)
    run = Run(training.plan, Store(store or default_address()), device, limit)
    watching = watcher(len(training.plan.steps))
    made = train_predictor(parsed, training, run, watching, title=title or training.model.name, licence=licence)
    with output_file(out) as temporary:
        tensorfile.write(temporary, made)
    show_facts(out)


@examples("linkbench predictor list")
@command.command("list")
def list_() -> None:
    """The predictors that can be used by name: those that come with linkbench, and yours."""
    from linkbench.errors import WeightsError
    from linkbench.models.predictor_files import own, shipped

    mine = own()
    for name, path in (shipped() | mine).items():
        try:
            said = _brief(_facts(path))
        except WeightsError as error:
            said = f"cannot be used: {error}"
        click.echo(f"{name:<20} {'yours  ' if name in mine else 'shipped'}  {said}")


@examples("linkbench predictor show rendered", "linkbench predictor show mine.safetensors")
@command.command("show")
@click.argument("predictor", type=click.Path(path_type=Path))
def show(predictor: Path) -> None:
    """What a predictor is, what it was trained on, and how often it is right."""
    from linkbench.models.predictor_files import locate

    show_facts(locate(predictor))


@examples("linkbench predictor import robust.safetensors --name robust")
@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="What to call it.  [default: the file's name]")
def import_(file: Path, name: str | None) -> None:
    """Check a predictor file and keep a copy, so that it can be used by name.

    The network is built and tried on a photo. Nothing in the file is executed: it names an installed architecture, and
    a file that would need code of its maker is refused.
    """
    import re

    from linkbench.models.predictor import check_predictor
    from linkbench.models.predictor_files import SUFFIX, locate, own_folder, read, shipped

    called = name or file.stem
    if not re.fullmatch(NAME, called):
        raise click.BadParameter(
            f"{called!r} is no name: small letters, digits and hyphens, 63 at most", param_hint="--name"
        )
    if called in shipped():
        raise click.BadParameter(f"{called!r} comes with linkbench; choose another", param_hint="--name")
    found = read(locate(file))
    check_predictor(found, str(file))
    out = own_folder() / f"{called}{SUFFIX}"
    with output_file(out) as temporary:
        shutil.copyfile(locate(file), temporary)
    click.echo(f"{called}: {out}")


@examples("linkbench predictor export rendered --out rendered.safetensors")
@command.command("export")
@click.argument("predictor", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
def export(predictor: Path, out: Path) -> None:
    """Write a predictor to a file of its own, to pass it on."""
    from linkbench.models.predictor_files import locate, read

    _check_out(out)
    path = locate(predictor)
    read(path)
    with output_file(out) as temporary:
        shutil.copyfile(path, temporary)
    click.echo(f"{predictor}: {out}")


def _check_out(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise click.BadParameter("the name must end in .safetensors", param_hint="--out")


def _facts(path: Path) -> Facts:
    from linkbench.models.predictor_files import facts_of, read

    return facts_of(read(path))


def _brief(facts: Facts) -> str:
    accuracy = ", ".join(f"{name} {share.balanced.value:.2f}" for name, share in measured(facts))
    return f"{facts.size} px  {facts.title}  (balanced accuracy in its own kind of photos: {accuracy or 'not known'})"


def measured(facts: Facts) -> list[tuple[str, Accuracy]]:
    """How often the predictor is right, in the order of its phenotypes."""
    return [(name, facts.accuracy[name]) for name, _ in facts.schema_items() if name in facts.accuracy]


def show_facts(path: Path) -> None:
    """Print what a predictor file says of itself."""
    facts, size = _facts(path), path.stat().st_size
    data = facts.data
    kind = "imaginary people" if data.imaginary else "people"
    lines = [
        f"{facts.title}: {path} ({size / 1e6:.1f} MB)",
        f"licence: {facts.licence or 'not said'}; made with {facts.made_with}",
        f"photos: aligned faces of {facts.size} px",
        "phenotypes: " + "; ".join(f"{name} ({', '.join(variants)})" for name, variants in facts.schema_items()),
        f"network: {facts.architecture.name}, recipe {facts.recipe.name}"
        + "".join(f", sees through {each.recipe}" for each in facts.filters),
        (f"trained on {data.photos:,} photos of {data.people:,} {kind}: " if data.photos else "not trained; judged on ")
        + f"cohort {data.cohort.name}, genomes {data.genomes.name}, seed {data.seed}",
        f"right about {data.tested:,} {'other ' if data.photos else ''}{kind} (interval of 95 %):",
    ]
    for name, share in measured(facts):
        plain, even = share.plain, share.balanced
        lines.append(
            f"  {name:<12} {plain.value:.3f} ({plain.low:.3f} to {plain.high:.3f})   balanced {even.value:.3f} "
            f"({even.low:.3f} to {even.high:.3f})"
        )
    click.echo("\n".join(lines))
