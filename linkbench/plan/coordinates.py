"""Where a cell stands in the grid of a scenario: the columns by which plans, tables and pages tell cells apart."""

COORDINATES = ("cohort", "genomes", "model", "poison", "defender", "epsilon", "channel", "attacker", "seed")
"""In the order in which tables show them."""
