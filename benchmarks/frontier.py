"""What is left to an attacker who retrains on a tool's output, against how visible the tool's change is.

    python benchmarks/frontier.py                            the rendered cohort
    python benchmarks/frontier.py --photos paper-release     the paper's 456 photos, from the folder of its release

For each tool and seed a scenario of its own: the standard network goes on training on clean photos and on the tool's
output, stopped by his own protected validation photos, and `likelihood` is calibrated on photos that he protected
himself. Prints markdown: SSIM, success@1 among 10 with its interval, the retrained network's accuracy for sex.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import linkbench as lb

TOOLS: list[dict[str, Any]] = [
    {"use": "none"},
    {"use": "decoy-pgd", "epsilon": 0.025, "knowledge": "standard"},
    *({"use": "blur", "sigma": sigma} for sigma in (1.0, 4.0)),
    *({"use": "pixelate", "block": block} for block in (4, 8)),
    {"use": "noise", "epsilon": 0.3},
    *({"use": "recolour", "delta_e": limit} for limit in (6.0, 20.0, 60.0)),
    *({"use": "recolour", "delta_e": 20.0, "weight": weight} for weight in (0.2, 0.35, 0.5)),
    *({"use": "blend", "weight": weight} for weight in (0.35, 0.5, 0.65)),
    *({"use": "k-same", "k": k} for k in (2, 4, 8)),
]
"""From what is hidden to what is gone."""


def scenario(tool: dict[str, Any], seed: int, photos: str | None, count: int) -> dict[str, Any]:
    """One tool and the attacker who has it."""
    inner = {key: value for key, value in tool.items() if key != "knowledge"}
    return {
        "linkbench": 1,
        "name": "frontier",
        "seed": seed,
        "cohort": {"use": "paper-release", "path": photos, "size": 64}
        if photos
        else {"use": "rendered", "count": count},
        "genomes": {"use": "paper-tables", "setting": "realistic"} if photos else "thousand-genomes",
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
        "measure": {"top_k": [1], "sizes": [10]},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", help="folder of the paper's release")
    parser.add_argument("--count", type=int, default=720, help="rendered photos")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="tools whose name starts so")
    options = parser.parse_args()
    print("| tool | seed | SSIM | success@1, n = 10 | sex |\n|---|---|---|---|---|")
    means: dict[str, list[tuple[float, float, float]]] = {}
    for tool in (tool for tool in TOOLS if tool["use"].startswith(options.only or "")):
        for seed in range(options.seeds):
            results = lb.run(scenario(tool, seed, options.photos, options.count))
            cell = next(
                cell
                for cell in reversed(results.cells)
                if cell.place["model"] == "retrained" and (cell.place["defender"] != "none") == (tool["use"] != "none")
            )
            value = {row.metric: row for row in results.rows if row.cell in cell.ids}
            success, ssim, sex = value["success"], value["ssim"].value, value["accuracy:sex"].value
            name = " ".join(f"{part}" for part in tool.values() if part != "standard")
            means.setdefault(name, []).append((ssim, success.value, sex))
            print(
                f"| {name} | {seed} | {ssim:.2f} | {success.value:.3f} [{success.ci_low:.3f}, {success.ci_high:.3f}] | "
                f"{sex:.2f} |",
                flush=True,
            )
    print("\n| tool | SSIM | success@1, mean over seeds | sex |\n|---|---|---|---|")
    for name, found in means.items():
        ssim, success, sex = np.mean(found, axis=0)
        print(f"| {name} | {ssim:.2f} | {success:.3f} | {sex:.2f} |")


if __name__ == "__main__":
    main()
