"""The reader of genotype files: speed, memory, damage. Run: python benchmarks/genotypes.py --fuzz 10000 --large

1. --people: 1000 Genomes genotypes at the 41 SNPs (columns CHROM POS ID REF ALT and one a person), each person written
   in five forms and three builds and read again; dosages against a count of the alleles.
2. --fuzz: so many damaged files of all forms and packings; the slowest, the peak memory, and how many were refused.
3. --large: a VCF file of 1 GB, the same in BGZF, a gVCF file of 10 million blocks, and a chip of 10 million lines;
   seconds and peak memory, each in a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import genotype_export as ge
from test_genotypes import mutated

from linkbench.errors import InputError
from linkbench.genomes.genotype_files import snps
from linkbench.genomes.genotype_files.reader import read, read_all


def memory() -> float:
    """Peak memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def people(source: Path, folder: Path) -> None:
    rows = list(csv.DictReader(source.read_text("ascii").splitlines(), delimiter="\t"))
    names = list(rows[0])[5:]
    wrong = 0
    for name in names:
        person = {row["ID"]: ge.alleles(row, row[name]) for row in rows}
        expected = [person[snp.rsid].count(snp.counted) for snp in snps.table()]
        for form in ge.FORMS:
            for build in ge.BUILDS:
                path = folder / "person"
                path.write_bytes(ge.export(form, build, person))
                found = read(path)
                assert found.build.build == build
                wrong += [call.dosage for call in found.calls] != expected
    print(f"{len(names)} people in {len(ge.FORMS)} forms and {len(ge.BUILDS)} builds: {wrong} differ")


def fuzz(count: int, folder: Path) -> None:
    chance = random.Random(count)
    me = ge.people()["HG00096"]
    whole = {form: ge.export(form, 37, me) for form in ge.FORMS}
    slowest, outcomes = 0.0, Counter[str]()
    path = folder / "damaged"
    for number in range(count):
        form, packing = ge.FORMS[number % 5], chance.choice(ge.PACKINGS)
        inside = chance.random() < 0.5
        data = (
            ge.pack(mutated(whole[form], chance), packing) if inside else mutated(ge.pack(whole[form], packing), chance)
        )
        path.write_bytes(data)
        start = time.perf_counter()
        try:
            outcomes["read" if all(person.dosages.size for person in read_all(path)) else "empty"] += 1
        except InputError:
            outcomes["refused"] += 1
        slowest = max(slowest, time.perf_counter() - start)
    print(f"{count} damaged files: {dict(outcomes)}, slowest {slowest:.2f} s, peak memory {memory():.0f} MB")


def large(folder: Path) -> None:
    me = ge.people()["HG00096"]
    for name, write in (("VCF", _vcf), ("gVCF", _blocks), ("chip", _chip)):
        path = folder / f"large {name}"
        with path.open("wb") as file:
            for part in write(me):
                file.write(part)
        packed = folder / f"large {name}.gz"
        with path.open("rb") as file, packed.open("wb") as out:
            while part := file.read(60_000):
                out.write(ge.bgzf_block(part))
            out.write(ge.bgzf_block(b""))
        one(path)
        one(packed)
        path.unlink()
        packed.unlink()


def one(path: Path) -> None:
    """Read one file as a user would, and say what it took."""
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True)
    found, (memory_used, seconds) = json.loads(done.stdout), done.stderr.split()
    known = sum(snp["dosage"] is not None for snp in found["snps"])
    size = f"{path.stat().st_size / 1e9:.2f} GB, {found['lines']:,} lines, {known} of 41 SNPs"
    print(f"{path.name}: {size}, {float(seconds):.1f} s of CPU, peak memory {int(memory_used) / 1024:.0f} MB")


READ = """
import re, sys, time
from linkbench.cli import cli
cli(["genotype", "read", sys.argv[1], "--json"], standalone_mode=False)
memory = re.search("VmHWM:[^0-9]*([0-9]+)", open("/proc/self/status").read())[1]
print(memory, time.process_time(), file=sys.stderr)
"""


def _vcf(me: dict[str, tuple[str, str]]) -> Iterator[bytes]:
    """One person's 10 million variants, 1 GB."""
    yield ge.vcf(38, {"me": ge.sites(me, 38)})
    for block in range(100):
        lines = [
            b"chr%d\t%d\t.\tA\tG\t49.6\tPASS\tAC=1;AF=0.5;AN=2;DP=%d;MQ=60.00;QD=18.1\tGT:AD:DP:GQ:PL\t0/1:15,16:31:99:%d,0,%d\n"
            % (
                1 + block % 22,
                95_000_000 + 700 * number + block,
                20 + number % 30,
                400 + number % 99,
                380 + number % 97,
            )
            for number in range(100_000)
        ]
        yield b"".join(lines)


def _blocks(me: dict[str, tuple[str, str]]) -> Iterator[bytes]:
    """Ten million blocks of reference behind the same records."""
    yield ge.vcf(38, {"me": ge.sites(me, 38)})
    for block in range(100):
        lines = [
            b"chr%d\t%d\t.\tA\t<NON_REF>\t.\t.\tEND=%d\tGT:DP:GQ:MIN_DP:PL\t0/0:%d:60:25:0,60,900\n"
            % (1 + block % 22, 50_000_000 + 10 * number + block, 50_000_009 + 10 * number + block, 20 + number % 30)
            for number in range(100_000)
        ]
        yield b"".join(lines)


def _chip(me: dict[str, tuple[str, str]]) -> Iterator[bytes]:
    """Ten million lines."""
    yield ge.export("23andMe", 37, me)
    for block in range(100):
        yield b"".join(
            b"rs%d\t%d\t%d\tAG\n" % (10**9 + number, 1 + block % 22, 95_000_000 + 700 * number + block)
            for number in range(100_000)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="The reader of genotype files: speed, memory, damage.")
    parser.add_argument("--people", type=Path, help="genotypes.tsv of the 1000 Genomes Project at the 41 SNPs")
    parser.add_argument("--fuzz", type=int, default=0, metavar="N", help="damaged files to read")
    parser.add_argument("--large", action="store_true", help="files of a gigabyte")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if arguments.people:
            people(arguments.people, Path(name))
        if arguments.fuzz:
            fuzz(arguments.fuzz, Path(name))
        if arguments.large:
            large(Path(name))


if __name__ == "__main__":
    main()
