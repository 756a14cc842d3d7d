"""The background of `linkbench protect`, trained anew: networks, decoys, and what attackers are taught.

    python benchmarks/background.py [--out FILE]

Carries out linkbench/protection/background.yaml and writes what comes with linkbench, by default in its place; some
minutes on two cores. To be run when that scenario is changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from linkbench.execution.watch import watcher
from linkbench.protection import shipped
from linkbench.protection.background import carry_out, scenario_of
from linkbench.store.location import default_address
from linkbench.store.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(str(shipped.__file__)).with_name(shipped.FILE))
    parser.add_argument("--store", default=default_address())
    given = parser.parse_args()
    shipped.write(given.out, carry_out(scenario_of(None), Store(given.store), watcher))
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
