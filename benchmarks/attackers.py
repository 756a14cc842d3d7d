"""Which attacker is the strongest: one against all others that see the same photos, paired, from finished runs.

    python benchmarks/attackers.py FOLDER... [--of "likelihood(learns=best)"] [--size 10]

The folders are runs of one scenario with different seeds. For every model, defence and channel: success@1 of each
attacker, the mean over seeds, with the interval of the one; then every other attacker against it over the same people,
corrected for all comparisons (Holm). Prints markdown.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from linkbench.metrics.comparison import by_person, holm, p_values
from linkbench.metrics.intervals import SHARE
from linkbench.results import folder
from linkbench.results.conclusions import reached, together
from linkbench.results.verdicts import Photos, Question, value_of

LEVEL = 0.95

Place = tuple[str, str, str]


def measured(folders: list[Path], size: int) -> dict[Place, dict[str, Photos]]:
    """By model, defence and channel what each attacker who sees photos and no truth reached, over all seeds."""
    parts: dict[Place, dict[str, list[Photos]]] = defaultdict(lambda: defaultdict(list))
    for path in folders:
        run = folder.read(path).run
        for cell in run["cells"]:
            sees = set(run["sees"][cell["attacker"]])
            if cell["failed"] or not sees or "truth" in sees:
                continue
            (own,) = reached([folder.read_ranks(path, cell["id"])], 1, size)
            defence = cell["defender"] if cell["epsilon"] is None else f"{cell['defender']} {cell['epsilon']:g}"
            parts[cell["model"], defence, cell["channel"]][cell["attacker"]].append(own)
    return {place: {who: together(own) for who, own in met.items()} for place, met in parts.items()}


def apart(first: Photos, other: Photos) -> np.ndarray:
    """float64 [people], what each person adds to the difference."""
    assert np.array_equal(first.identity, other.identity)
    one, two = (by_person(each.success[:, None], each.identity, each.weight[:, None])[:, 0] for each in (first, other))
    return one - two


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--of", default="likelihood(learns=best)", help="the attacker that is compared with the others")
    parser.add_argument("--size", type=int, default=10)
    asked = parser.parse_args()
    found = measured(asked.folders, asked.size)
    question = Question(1, asked.size, LEVEL, 10_000, 0)
    who = list(dict.fromkeys(name for met in found.values() for name in met))
    print(f"| model | photos | channel | {' | '.join(who)} |\n|{'---|' * (len(who) + 3)}")
    for place, met in found.items():
        cells = [f"{met[name].mean:.3f}" if name in met else "" for name in who]
        if asked.of in met:
            own = met[asked.of]
            value = value_of(own.mean, own.success[:, None], own.identity, own.weight[:, None], SHARE, question)
            cells[who.index(asked.of)] += f" [{value.low:.3f}, {value.high:.3f}]"
        print(f"| {' | '.join(place)} | {' | '.join(cells)} |")
    pairs = [
        (place, name, apart(met[asked.of], own))
        for place, met in found.items()
        if asked.of in met
        for name, own in met.items()
        if name != asked.of
    ]
    adjusted = holm(np.array([float(p_values(each[:, None])[0]) for _, _, each in pairs]))
    sure = adjusted <= 1 - LEVEL
    means = np.array([float(each.mean()) for _, _, each in pairs])
    print(f"\n{len(pairs)} comparisons of {asked.of}: {int((sure & (means > 0)).sum())} surely above the other, "
          f"{int((sure & (means < 0)).sum())} surely below, {int((~sure).sum())} cannot be told")  # fmt: skip
    for (place, name, each), p, mean in sorted(zip(pairs, adjusted, means, strict=True), key=lambda one: one[2]):
        error = float(each.std(ddof=1) / len(each) ** 0.5)
        if mean < 0 or p <= 1 - LEVEL:
            print(f"  {' / '.join(place)}, {name}: {mean:+.3f} (standard error {error:.3f}), p {p:.3g}")


if __name__ == "__main__":
    main()
