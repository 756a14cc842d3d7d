"""Genotype files as people have them: 23andMe, AncestryDNA, MyHeritage, FamilyTreeDNA, VCF.

stream: the file's bytes, unpacked, in lines, within limits; formats: which file it is; chip, vcf: the lines that say
something about the SNPs of HIrisPlex-S; builds: which assembly; resolve: a dosage for each SNP; sex: female or male;
reader: all of it together; effect: what missing SNPs do to the probabilities; source: genomes of a scenario.
"""
