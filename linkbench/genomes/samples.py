"""Files for genome sources that read the user's: small ones, of people who do not exist."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from linkbench.genomes.genotype_files.snps import table


def genotype_folder(folder: Path) -> Path:
    """Three people in the form of 23andMe, a man and two women, alleles drawn evenly."""
    random = np.random.default_rng(5)
    for number in range(3):
        lines = ["# rsid\tchromosome\tposition\tgenotype"]
        for snp in table():
            letters = ("D", "I") if len(snp.alt) > 1 else (snp.ref, snp.alt)
            pair = "".join(letters[at] for at in random.integers(0, 2, 2))
            lines.append(f"{snp.rsid}\t{snp.chrom}\t{snp.positions[37]}\t{pair}")
        for place in range(200):  # a man's X is written with one letter, a woman's differs at some places
            pair = "A" if number == 0 else "AG" if place % 4 == 0 else "AA"
            lines.append(f"rs{place + 1}\tX\t{5_000_000 + place}\t{pair}")
        (folder / f"p{number}.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
    return folder
