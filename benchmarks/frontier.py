"""What is left to an attacker who retrains on a tool's output, against how visible the tool's change is.

    python benchmarks/frontier.py --keep FOLDER                            the rendered cohort
    python benchmarks/frontier.py --keep FOLDER --photos paper-release     the paper's 456 photos, from its release

For each tool and seed a scenario of its own: the standard network goes on training on clean photos and on the tool's
output, stopped by his own protected validation photos, and `likelihood` is calibrated on photos that he protected
himself. What was measured is kept in the folder, so that a later call measures what is missing alone.

Prints markdown: SSIM, success@1 among 10 and the accuracy for sex; then each of linkbench's own tools against the line
through the known ends at the same SSIM, paired over people. That line is the lower convex hull of the ends' means on
these very photos, so chance is on their side.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import linkbench as lb
from linkbench.api.data import Array
from linkbench.metrics.comparison import holm, p_values
from linkbench.metrics.intervals import DIFFERENCE, interval
from linkbench.results.cells import MeasuredCell
from linkbench.results.conclusions import reached

SIZE = 10
"""Of the population."""

ENDS: list[dict[str, Any]] = [
    {"use": "none"},
    *({"use": "blend", "weight": weight} for weight in (0.2, 0.35, 0.5, 0.65)),
    *({"use": "k-same", "k": k} for k in (2, 4, 8)),
    *({"use": "blur", "sigma": sigma} for sigma in (1.0, 4.0)),
    *({"use": "pixelate", "block": block} for block in (4, 8)),
    {"use": "noise", "epsilon": 0.3},
]
"""The known ends of the frontier."""

OURS: list[dict[str, Any]] = [
    {"use": "decoy-pgd", "epsilon": 0.025, "knowledge": "standard"},
    *({"use": "recolour", "delta_e": limit} for limit in (6.0, 20.0)),
    {"use": "recolour", "delta_e": 20.0, "weight": 0.35},
    *({"use": "suppress", "ssim": least} for least in (0.9, 0.8, 0.65)),
    {"use": "chain", "defenders": [{"use": "recolour", "delta_e": 20.0}, {"use": "suppress", "ssim": 0.8}]},
]
"""What is held against them."""

BOUNDS: list[dict[str, Any]] = [{"use": "re-render"}, {"use": "re-render", "keep": []}]
"""What no tool can do: rendered people drawn again."""


class Found(NamedTuple):
    """One tool and seed. success: float64 [n], of each photo; identity: int64 [n]; ssim: mean; sex: the accuracy for
    it of the standard network without the tool, of the same after it, and of the retrained one after it."""

    success: Array
    identity: Array
    ssim: float
    sex: tuple[float, float, float]


def name_of(tool: dict[str, Any]) -> str:
    """The tool with its parameters, as the tables name it."""
    if "defenders" in tool:
        return ", then ".join(name_of(link) for link in tool["defenders"])
    return " ".join(f"{key} {value}" if key != "use" else value for key, value in tool.items() if key != "knowledge")


def people(photos: str | None, count: int) -> dict[str, Any]:
    """Cohort and genomes: the paper's, from the folder of its release, or so many rendered photos."""
    if photos:
        return {
            "cohort": {"use": "paper-release", "path": photos, "size": 64},
            "genomes": {"use": "paper-tables", "setting": "realistic"},
        }
    return {"cohort": {"use": "rendered", "count": count}, "genomes": "thousand-genomes"}


def scenario(tool: dict[str, Any], seed: int, photos: str | None, count: int) -> dict[str, Any]:
    """One tool and the attacker who has it."""
    inner = {key: value for key, value in tool.items() if key != "knowledge"}
    return {
        "linkbench": 1,
        "name": "frontier",
        "seed": seed,
        **people(photos, count),
        "models": [
            {"name": "standard", "architecture": "small-cnn", "recipe": "standard"},
            {
                "name": "retrained",
                "architecture": "small-cnn",
                "start": "standard",
                "recipe": {"use": "adaptive", "defender": inner, "clean": 1},
            },
        ],
        "defenders": ["none"] if tool["use"] == "none" else ["none", tool],
        "channels": ["png"],
        "attackers": [{"use": "likelihood", "learns": "protected"}],
        "measure": {"top_k": [1], "sizes": [SIZE]},
    }


def measure(tool: dict[str, Any], seed: int, photos: str | None, count: int) -> Found:
    """Of a tool and seed all that is kept, by a run of its scenario."""
    results = lb.run(scenario(tool, seed, photos, count))
    for failed in results.failed:
        raise SystemExit(f"{name_of(tool)}, seed {seed}: {failed}")

    def cell_of(model: str, defended: bool) -> MeasuredCell:
        (cell,) = (one for one in results.cells if one.model == model and (one.defender != "none") == defended)
        return cell

    def value(model: str, defended: bool, metric: str) -> float:
        return cell_of(model, defended).metrics[metric].value

    there = tool["use"] != "none"
    (own,) = reached([results.load_ranks(cell_of("retrained", there).ids[0])], 1, SIZE)
    plain, posted, retrained = (
        value(model, defended, "accuracy:sex")
        for model, defended in (("standard", False), ("standard", there), ("retrained", there))
    )
    return Found(own.success, own.identity, value("retrained", there, "ssim"), (plain, posted, retrained))


def kept(folder: Path, tool: dict[str, Any], seed: int, photos: str | None, count: int) -> Found:
    """What was measured before, or now."""
    where = "real" if photos else f"rendered-{count}"
    file = folder / f"{where} {name_of(tool)} {seed}.json".replace(" ", "_")
    if not file.exists():
        found = measure(tool, seed, photos, count)
        written = found._replace(success=found.success.tolist(), identity=found.identity.tolist())
        file.write_text(json.dumps(written._asdict()))
    data = json.loads(file.read_text())
    # the people of a rendered cohort are others with every seed, those of the release are the same
    identity = np.array(data["identity"]) + (0 if photos else seed * 1_000_000)
    return Found(np.array(data["success"]), identity, data["ssim"], tuple(data["sex"]))


def hull(points: list[tuple[float, float]]) -> list[int]:
    """Which points (x, y), by place, are corners of the lower convex hull, from the smallest x to the largest."""
    out: list[int] = []
    for at in sorted(range(len(points)), key=lambda at: points[at]):
        while len(out) > 1 and _turn(points[out[-2]], points[out[-1]], points[at]) <= 0:
            out.pop()
        out.append(at)
    return out


def _turn(one: tuple[float, float], two: tuple[float, float], three: tuple[float, float]) -> float:
    return (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])


def at_same_ssim(tool: list[Found], ends: list[list[Found]]) -> tuple[float, Array]:
    """The ends' line at the tool's mean SSIM, and float64 [people, 1], how much more the tool leaves, person by person.

    Outside of the ends' range the nearest end is taken. One list entry is one seed, with the same photos for all tools.
    """
    means = [(_mean(end).ssim, _success(end)) for end in ends]
    corners = hull(means)
    places = [means[corner][0] for corner in corners]
    ssim = float(np.clip(_mean(tool).ssim, places[0], places[-1]))
    right = min(max(int(np.searchsorted(places, ssim)), 1), len(places) - 1)
    part = (ssim - places[right - 1]) / (places[right] - places[right - 1])
    near, far = (np.concatenate([found.success for found in ends[corners[at]]]) for at in (right - 1, right))
    line = (1 - part) * near + part * far
    _, who = np.unique(np.concatenate([found.identity for found in tool]), return_inverse=True)
    more = np.concatenate([found.success for found in tool]) - line
    return float(line.mean()), (np.bincount(who, more) / np.bincount(who))[:, None]


def _success(found: list[Found]) -> float:
    return float(np.mean(np.concatenate([each.success for each in found])))


def _mean(found: list[Found]) -> Found:
    ssim, sex = np.mean([each.ssim for each in found]), np.mean([each.sex for each in found], axis=0)
    return found[0]._replace(ssim=float(ssim), sex=tuple(sex.tolist()))


def report(found: dict[str, list[Found]], ends: list[str], ours: list[str]) -> None:
    """Both tables."""
    print("| tool | SSIM | success@1 | sex: as posted | sex: retrained |\n|---|---|---|---|---|")
    for name in [*ends, *ours]:
        mean, success = _mean(found[name]), _success(found[name])
        print(f"| {name} | {mean.ssim:.2f} | {success:.3f} | {mean.sex[1]:.2f} | {mean.sex[2]:.2f} |")
    rows = [at_same_ssim(found[name], [found[end] for end in ends]) for name in ours]
    adjusted = holm(np.array([p_values(more)[0] for _, more in rows]))
    print("\n| tool | SSIM | line of the ends | tool less line | p (Holm) | suppression of sex | after retraining |")
    print("|---|---|---|---|---|---|---|")
    for name, (line, more), p in zip(ours, rows, adjusted, strict=True):
        low, high = interval(more, np.arange(len(more)), ends=DIFFERENCE)[:, 0]
        mean = _mean(found[name])
        suppressed = [1 - after / mean.sex[0] for after in mean.sex[1:]]
        print(
            f"| {name} | {mean.ssim:.2f} | {line:.3f} | {more.mean():+.3f} [{low:+.3f}, {high:+.3f}] | {p:.3f} | "
            f"{suppressed[0]:.2f} | {suppressed[1]:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, required=True, help="folder of what was measured")
    parser.add_argument("--photos", help="folder of the paper's release")
    parser.add_argument("--count", type=int, default=456, help="rendered photos")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="of linkbench's own tools those whose name starts so")
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    tools = OURS if options.photos else OURS + BOUNDS
    ours = [tool for tool in tools if name_of(tool).startswith(options.only or "")]
    found: dict[str, list[Found]] = {}
    for seed in range(options.seeds):
        for tool in [*ENDS, *ours]:
            one = kept(options.keep, tool, seed, options.photos, options.count)
            found.setdefault(name_of(tool), []).append(one)
            print(f"<!-- {name_of(tool)}, seed {seed}: SSIM {one.ssim:.2f}, {one.success.mean():.3f} -->", flush=True)
    report(found, [name_of(tool) for tool in ENDS], [name_of(tool) for tool in ours])


if __name__ == "__main__":
    main()
