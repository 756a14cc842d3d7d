"""linkbench check: whether plugins do what linkbench expects of their kind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from linkbench.cli.options import examples, read_params

if TYPE_CHECKING:
    from linkbench.testing import Outcome


@examples(
    "linkbench check my-defender",
    "linkbench check single-pgd --set phenotype=eye",
    "linkbench check --all --kind channel",
)
@click.command("check")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Check every installed plugin.")
@click.option("--kind", help="Only plugins of one kind, e.g. defender.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Try the plugin with this parameter. May be repeated.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def command(
    names: tuple[str, ...], everything: bool, kind: str | None, overrides: tuple[str, ...], as_json: bool
) -> int:
    """Check that plugins do what linkbench expects of their kind: seeds, batches, budgets, shapes, untouched inputs.

    A plugin is tried on made-up photos, genomes and networks, in seconds. The exit status is 1 if a check fails. A
    check that does not apply is skipped, and says why.
    """
    from linkbench.api.kinds import KINDS
    from linkbench.testing.apart import examine_apart

    if kind is not None and kind not in KINDS:
        raise click.BadParameter(f"there is no kind {kind!r}; kinds are {', '.join(KINDS)}", param_hint="--kind")
    chosen = _chosen(names, everything, kind)
    if overrides and len(chosen) != 1:
        found = ", ".join(f"{kind} {name}" for kind, name in chosen)
        raise click.BadParameter(f"is for one plugin, these are {len(chosen)}: {found}", param_hint="--set")
    params = read_params(overrides)
    report, statuses = [], []
    for plugin_kind, name in chosen:
        _refuse_wrong(plugin_kind, name, params)
        outcomes = examine_apart(plugin_kind, name, params)
        statuses += [outcome.status for outcome in outcomes]
        report.append({"kind": plugin_kind, "name": name, "checks": [outcome._asdict() for outcome in outcomes]})
        if not as_json:
            _show(plugin_kind, name, outcomes)
    if as_json:
        click.echo(json.dumps({"plugins": report}, indent=2))
    elif len(chosen) > 1:
        click.echo(f"{len(chosen)} plugins, {_count(statuses)}")
    return 1 if "fail" in statuses else 0


def _chosen(names: tuple[str, ...], everything: bool, kind: str | None) -> list[tuple[str, str]]:
    """Kind and name of the plugins that are meant. Raises PluginError for a name that no kind has."""
    from linkbench.registry.registry import registry

    if everything == bool(names):
        raise click.UsageError("give the names of plugins, or --all")
    plugins = {kind: registry().plugins[kind]} if kind is not None else registry().plugins
    if everything:
        return [(kind, name) for kind, entries in plugins.items() for name in entries]
    out = []
    for name in names:
        kinds = [kind for kind, entries in plugins.items() if name in entries]
        if not kinds:
            _unknown(name, kind, plugins)
        out += [(kind, name) for kind in kinds]
    return out


def _unknown(name: str, kind: str | None, plugins: Mapping[str, Mapping[str, object]]) -> None:
    """Raise PluginError for a name that there is not, with the nearest."""
    from linkbench.errors import PluginError
    from linkbench.registry.registry import registry

    if kind is not None:
        registry().find(kind, name)
    known = sorted({known for entries in plugins.values() for known in entries})
    raise PluginError(f"there is no plugin {name!r}; 'linkbench plugins' lists them{_near(name, known)}")


def _near(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    return f". Did you mean {near[0]!r}?" if near else ""


def _refuse_wrong(kind: str, name: str, params: dict[str, Any]) -> None:
    """Raise InputError for parameters that are not the plugin's, or cannot have these values.

    Others than those given may be missing: they are of the plugin's own trial.
    """
    import contextlib

    from pydantic import ValidationError

    from linkbench.errors import InputError, PluginError
    from linkbench.registry.registry import registry
    from linkbench.registry.spec import explain

    with contextlib.suppress(PluginError):  # one that cannot be imported fails its checks
        cls = registry().load(kind, name)
        try:
            cls.model_validate(params, strict=False)
        except ValidationError as error:
            known = [field.alias or key for key, field in cls.model_fields.items()]
            wrong = [problem for problem in error.errors() if problem["loc"] and problem["loc"][0] in params]
            if wrong:
                said = (f"--set {'.'.join(map(str, problem['loc']))}: {explain(problem, known)}" for problem in wrong)
                raise InputError("\n".join(said)) from None


def _show(kind: str, name: str, outcomes: list[Outcome]) -> None:
    click.echo(f"{kind} {name}: {_count([outcome.status for outcome in outcomes])}")
    for outcome in outcomes:
        reason = " ".join(outcome.reason.split())
        click.echo(f"  {outcome.status}  {outcome.check}" + (f": {reason}" if reason else ""))


def _count(statuses: Sequence[str]) -> str:
    passed, failed, skipped = (statuses.count(status) for status in ("pass", "fail", "skip"))
    return f"{len(statuses)} checks, {passed} passed, {failed} failed, {skipped} skipped"
