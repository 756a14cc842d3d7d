"""linkbench genotype: what a genotype file tells of eye, hair and skin colour."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from linkbench.cli.options import examples, how_to_read

if TYPE_CHECKING:
    from linkbench.genomes.genotype_files.reader import Genotypes
    from linkbench.genomes.genotype_files.snps import Build


@examples("linkbench genotype read genome.txt", "linkbench genotype read genome.vcf.gz --json")
@click.group("genotype")
def command() -> None:
    """Read genotype files: 23andMe, AncestryDNA, MyHeritage, FamilyTreeDNA, VCF."""


@examples(
    "linkbench genotype read AncestryDNA.zip",
    "linkbench genotype read family.vcf.gz --sample NA12878 --json",
    "linkbench genotype read whole-genome.vcf.gz --absent reference",
)
@command.command("read")
@click.argument("file", type=click.Path(path_type=Path))
@how_to_read
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
def read(
    file: Path, sample: str | None, assembly: str | None, absent: Literal["unknown", "reference"], as_json: bool
) -> None:
    """Find the 41 SNPs of HIrisPlex-S in a genotype file, and say what they tell.

    The file may be packed (gzip, BGZF, zip); its form and build are found out. SNPs that are missing are averaged over
    the population, as everywhere in linkbench; the table says what that does to each probability. Nothing is written,
    and nothing leaves the machine.
    """
    import json

    from linkbench.genomes.genotype_files import reader

    chosen = cast("Build", int(assembly)) if assembly is not None else None
    found = reader.read(file, sample, chosen, absent)
    click.echo(json.dumps(as_dict(found), indent=2, allow_nan=False) if as_json else as_text(found))


def as_dict(found: Genotypes) -> dict[str, Any]:
    """Everything that is known, as JSON can hold it."""
    from linkbench.genomes.genotype_files.effect import effects
    from linkbench.genomes.genotype_files.resolve import MEANING
    from linkbench.genomes.genotype_files.snps import table

    build = found.build.build
    return {
        "file": str(found.path),
        "format": found.form,
        "packing": found.packing,
        "sample": found.sample or None,
        "lines": found.lines,
        "build": build,
        "build_evidence": found.build.evidence,
        "sex": found.sex.sex,
        "sex_evidence": found.sex.evidence,
        "notes": list(found.notes),
        "snps": [
            {
                "rsid": snp.rsid,
                "chromosome": snp.chrom,
                "position": snp.positions[build] if build is not None else None,
                "counted": snp.counted,
                "genotype": call.genotype or None,
                "dosage": call.dosage,
                "status": call.status,
                "meaning": MEANING[call.status],
                "line": call.line,
                "note": call.note or None,
            }
            for snp, call in zip(table(), found.calls, strict=True)
        ],
        "phenotypes": {
            group: {
                "missing": list(effect.missing),
                "used": effect.used,
                "probabilities": {name: chance._asdict() for name, chance in effect.chances.items()},
            }
            for group, effect in effects(found.dosages).items()
        },
    }


def as_text(found: Genotypes) -> str:
    """The same for people."""
    from linkbench.genomes.genotype_files.effect import effects
    from linkbench.genomes.genotype_files.reader import build_name
    from linkbench.genomes.genotype_files.resolve import MEANING
    from linkbench.genomes.genotype_files.snps import table

    calls = list(zip(table(), found.calls, strict=True))
    known = sum(call.dosage is not None for call in found.calls)
    packing = "" if found.packing == "none" else f", {found.packing}"
    lines = [
        f"{found.path}: {found.form}{packing}, {found.lines:,} lines",
        *([f"sample: {found.sample}"] if found.sample else []),
        f"build: {build_name(found.build.build)} ({found.build.evidence})",
        f"sex: {found.sex.sex or 'not clear'} ({found.sex.evidence})",
        f"SNPs of HIrisPlex-S: {known} of {len(calls)} read",
        *(f"note: {note}" for note in found.notes),
        "",
        f"{'SNP':<12}  {'position':<12}  {'genotype':<8}  counted",
    ]
    build = found.build.build
    for snp, call in calls:
        place = f"{snp.chrom}:{snp.positions[build]}" if build is not None else snp.chrom
        number = f"{call.dosage} × {snp.counted}" if call.dosage is not None else "-"
        why = "" if call.status == "read" else MEANING[call.status]
        remark = "  ".join(part for part in (why, call.note) if part)
        lines.append(f"{snp.rsid:<12}  {place:<12}  {call.genotype or '-':<8}  {number:<7} {remark}".rstrip())
    lines += ["", "What they tell, missing SNPs averaged over the population:"]
    told = effects(found.dosages)
    for group, effect in told.items():
        gone = f", {len(effect.missing)} of {effect.used} SNPs missing" if effect.missing else ""
        lines.append(f"{group}{gone}")
        for name, chance in effect.chances.items():
            span = f"  {chance.low:.3f} to {chance.high:.3f} with nothing missing" if effect.missing else ""
            lines.append(f"  {name:<13} {chance.mean:.3f}{span}")
    if any(effect.missing for effect in told.values()):
        lines.append(
            "Spans hold what 90 % of people's whole files would tell who share the known genotypes; missing SNPs"
        )
        lines.append("are drawn by their frequency in 1000 Genomes, each by itself, whatever their neighbours are.")
    return "\n".join(lines)
