"""linkbench weights: network weights as files."""

from __future__ import annotations

from pathlib import Path

import click

from linkbench.cli.options import examples
from linkbench.cli.output import output_file


@examples("linkbench weights import VGG_FACE.pth --architecture vggface16 --out vggface.safetensors")
@click.group("weights")
def command() -> None:
    """Work with network weights."""


@examples(
    "linkbench weights import VGG_FACE.pth --architecture vggface16 --out vggface.safetensors",
    "linkbench weights import vladmandic-face-api-1.7.15.tgz --architecture dlib-resnet --out dlib.safetensors",
)
@command.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--architecture", required=True, help="The architecture that the weights are for, such as vggface16.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@click.option(
    "--channels",
    type=click.Choice(["bgr", "rgb"]),
    help="Order of the colours that the source network was trained with.  [vggface16: bgr if not said]",
)
def import_(source: Path, architecture: str, out: Path, channels: str | None) -> None:
    """Turn the weights of others into a checked safetensors file.

    SOURCE is a state dictionary (.pth, .pt, .safetensors); for dlib-resnet the npm package @vladmandic/face-api, as a
    folder, a .tgz or its weights manifest. Every tensor's name and shape is checked. A pickle is read as data only:
    nothing in it is executed, and a file that would need that is refused. An archive is not unpacked to disk.
    """
    from linkbench.errors import WeightsError
    from linkbench.models.weights import check_finite, read_foreign, write_safetensors
    from linkbench.registry.registry import registry

    if out.suffix != ".safetensors":
        raise click.BadParameter("the name must end in .safetensors", param_hint="--out")
    target = registry().load("architecture", architecture)
    if not hasattr(target, "import_weights"):
        able = [name for name in sorted(registry().plugins["architecture"]) if _imports(name)]
        raise WeightsError(
            f"architecture {architecture!r} starts from no weights of others; "
            f"those that do: {', '.join(able) or 'none'}"
        )
    plugin = target()
    if hasattr(plugin, "read_weights"):
        if channels is not None:
            raise click.BadParameter(f"the weights of {architecture} have one order only", param_hint="--channels")
        state = plugin.import_weights(plugin.read_weights(source))
    else:
        state = plugin.import_weights(read_foreign(source), red_first=channels == "rgb")
    plugin.check(state, str(source))
    check_finite(state, str(source))
    with output_file(out) as temporary:
        digest = write_safetensors(state, temporary)
    click.echo(f"{len(state)} tensors for {architecture}, sha256 {digest[:16]}: {out}")


def _imports(name: str) -> bool:
    from linkbench.errors import PluginError
    from linkbench.registry.registry import registry

    try:
        return hasattr(registry().load("architecture", name), "import_weights")
    except PluginError:
        return False
