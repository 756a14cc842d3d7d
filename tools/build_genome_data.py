"""Build the tables in linkbench/genomes/data and a test fixture from the downloaded sources.

    python tools/build_genome_data.py SOURCE [--repository .]

SOURCE holds the folders `thousand-genomes`, `paper-release` and `assembly-chains`: GRCh37ToNCBI36.chain and
GRCh37ToGRCh38.chain of Ensembl (see linkbench/genomes/data/SOURCES.md). The output
is plain CSV with a fixed order and fixed line ends: the same sources give the same bytes. No photo and no SNP row of
the paper's release is copied.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

SUPER = ("AFR", "AMR", "EAS", "EUR", "SAS")
UNUSED = "rs6119471"  # always missing in the web tool's export, so its coefficients could not be recovered

# column of the coefficient file -> `group:class`; the reference class of each group, all 0, has no column
COEFFICIENTS = {
    "BlueEye": "eye:blue",
    "IntermediateEye": "eye:intermediate",
    "BlondHair": "hair:blond",
    "BrownHair": "hair:brown",
    "RedHair": "hair:red",
    "LightHair": "shade:light",
    "VeryPaleSkin": "skin:very-pale",
    "PaleSkin": "skin:pale",
    "IntermediateSkin": "skin:intermediate",
    "DarkSkin": "skin:dark",
}
WEB = {
    "PBlueEye": "eye:blue",
    "PIntermediateEye": "eye:intermediate",
    "PBrownEye": "eye:brown",
    "PBlondHair": "hair:blond",
    "PBrownHair": "hair:brown",
    "PRedHair": "hair:red",
    "PBlackHair": "hair:black",
    "PLightHair": "shade:light",
    "PDarkHair": "shade:dark",
    "PVeryPaleSkin": "skin:very-pale",
    "PPaleSkin": "skin:pale",
    "PIntermediateSkin": "skin:intermediate",
    "PDarkSkin": "skin:dark",
    "PDarktoBlackSkin": "skin:dark-to-black",
}
PAPER = {  # in the order of linkbench.api.schema.PAPER; the release orders skin, hair, eye, sex
    "F": "sex:female",
    "M": "sex:male",
    "Black": "hair:black",
    "Blonde": "hair:blonde",
    "Brownh": "hair:brown",
    "Blue": "eye:blue",
    "Int": "eye:intermediate",
    "Brown": "eye:brown",
    "Pale": "skin:pale",
    "Intskin": "skin:intermediate",
    "Darkskin": "skin:dark",
}
LABELS = ("SEX", "HCOLOR", "EYECLR", "SKINCLR")


def read(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([list(header), *rows])


def build_model(source: Path, data: Path) -> list[dict[str, str]]:
    """Coefficients, alleles and allele frequencies, one SNP a row; returns the SNPs in this order."""
    snps = [snp for snp in read(source / "snps_frequencies.csv") if snp["rsid"] != UNUSED]
    weights = {row[""]: [row[name] for name in COEFFICIENTS] for row in read(source / "hirisplexs_coefficients.csv")}
    assert set(weights) == {"const"} | {snp["rsid"] for snp in snps}
    facts = ["hps_allele", "strand", "chrom", "pos_b37", "ref", "alt", "counted"]
    shares = ["af_ALL", *(f"af_{name}" for name in SUPER)]
    rows = [["intercept", *[""] * len(facts + shares), *weights["const"]]]
    rows += [[snp["rsid"], *(snp[name] for name in facts + shares), *weights[snp["rsid"]]] for snp in snps]
    write(data / "hirisplexs.csv", ["rsid", "allele", *facts[1:], *shares, *COEFFICIENTS.values()], rows)
    return snps


def build_people(source: Path, data: Path, snps: list[dict[str, str]]) -> None:
    """Dosages of the counted allele of 2,504 people: one digit per SNP, in the order of hirisplexs.csv."""
    variants = {row["ID"]: row for row in read(source / "genotypes.tsv", "\t")}
    rows = []
    for person in read(source / "panel.tsv", "\t"):
        digits = ""
        for snp in snps:
            record = variants[snp["rsid"]]
            assert (record["REF"], record["ALT"]) == (snp["ref"], snp["alt"])
            first, second = record[person["sample"]].split("|")
            alternative = int(first) + int(second)
            assert snp["counted"] in (snp["ref"], snp["alt"])
            digits += str(alternative if snp["counted"] == snp["alt"] else 2 - alternative)
        rows.append([person["sample"], person["pop"], person["super_pop"], person["gender"], digits])
    write(data / "thousand_genomes.csv", ["id", "population", "super_population", "sex", "dosages"], rows)


def lift(chains: Path, chrom: str, position: int) -> str:
    """The position in the other assembly of a chain file, from the best chain; on the same chromosome and strand."""
    best, found, start, other = -1, "", 0, 0
    for line in chains.read_text(encoding="ascii").splitlines():
        parts = line.split()
        if line.startswith("chain"):
            score, there = int(parts[1]), parts[7]
            fits = parts[2] == chrom
            start, other = int(parts[5]), int(parts[10])
            if fits and there == chrom:
                assert parts[9] == "+" or not start <= position - 1 < int(parts[6])
        elif parts and fits and there == chrom:
            length = int(parts[0])
            if start <= position - 1 < start + length and score > best:
                best, found = score, str(other + position - start)
            if len(parts) == 3:
                start, other = start + length + int(parts[1]), other + length + int(parts[2])
    assert found, f"{chains.name}: {chrom}:{position} has no counterpart"
    return found


def build_positions(source: Path, chains: Path, data: Path) -> None:
    """Where the 41 SNPs stand in three assemblies, with both alleles on the forward strand and the counted one."""
    rows = []
    for snp in read(source / "snps_frequencies.csv"):
        # The web tool counts C on the reverse strand of rs6119471, forward G; its export had a wrong name for it.
        counted = "G" if snp["rsid"] == UNUSED else snp["counted"]
        here = snp["pos_b37"]
        there = [lift(chains / f"GRCh37To{name}.chain", snp["chrom"], int(here)) for name in ("NCBI36", "GRCh38")]
        rows.append([snp["rsid"], snp["chrom"], there[0], here, there[1], snp["ref"], snp["alt"], counted])
    write(data / "snp_positions.csv", ["rsid", "chrom", "b36", "b37", "b38", "ref", "alt", "counted"], rows)


def build_paper(source: Path, data: Path) -> None:
    """The paper's tables, numbers as published, columns in the order of linkbench.api.schema.PAPER."""
    for setting, name in (("realistic", "real"), ("ideal", "ideal")):
        table = read(source / f"synthetic_{name}_P_genomes.csv")
        rows = [[row["ID"], *(row[column] for column in PAPER)] for row in table]
        write(data / f"paper_{setting}.csv", ["id", *PAPER.values()], rows)
    identity = {str(int(row["file"].split(".")[0])): row["identity"] for row in read(source / "identities.csv")}
    predicted = {row["ID"]: row for row in read(source / "synthetic_predicted_phenotypes.csv")}
    truth = read(source / "synthetic_ground_truth.csv")
    rows = []
    for row in truth:
        words = [PAPER[table[name]].split(":")[1] for table in (row, predicted[row["ID"]]) for name in LABELS]
        rows.append([row["ID"], identity[row["ID"]], *words])
    names = ["sex", "hair", "eye", "skin"]
    write(data / "paper_labels.csv", ["id", "identity", *names, *(f"predicted_{name}" for name in names)], rows)


def build_fixture(source: Path, fixture: Path, snps: list[dict[str, str]]) -> None:
    """The web tool's own dosages and probabilities of the first 100 people."""
    rows = []
    for person in read(source / "webtool_first100.csv"):
        digits = "".join(person[f"{snp['rsid']}_{snp['hps_allele']}"] for snp in snps)
        rows.append([person["sampleid"], digits, *(person[name] for name in WEB)])
    write(fixture, ["id", "dosages", *WEB.values()], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build linkbench/genomes/data from the downloaded sources.")
    parser.add_argument("source", type=Path)
    parser.add_argument("--repository", type=Path, default=Path("."))
    arguments = parser.parse_args()
    data = arguments.repository / "linkbench" / "genomes" / "data"
    snps = build_model(arguments.source / "thousand-genomes", data)
    build_people(arguments.source / "thousand-genomes", data, snps)
    build_positions(arguments.source / "thousand-genomes", arguments.source / "assembly-chains", data)
    build_paper(arguments.source / "paper-release", data)
    fixture = arguments.repository / "tests" / "data" / "webtool_first100.csv"
    build_fixture(arguments.source / "thousand-genomes", fixture, snps)


if __name__ == "__main__":
    main()
