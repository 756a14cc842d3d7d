"""What a leaderboard says in words, the same in README.md and on the page."""

from __future__ import annotations

from linkbench.leaderboard.board import Opponent, Standing
from linkbench.leaderboard.ranking import Ranking
from linkbench.report import flags_text, numbers, summary

INTRODUCTION = (
    "How well defences keep somebody who has your photo from finding your genome. Defences are ranked by their worst "
    "case over all attackers and models that they met: the lower, the fewer genomes are found by those."
)

ADD = """## Add a run

```sh
linkbench run scenarios/leaderboard.yaml
linkbench leaderboard add results/leaderboard
make leaderboard
```

What is ranked, how, and what a badge means: [docs/leaderboard.md](../docs/leaderboard.md).
"""

BADGES = {
    "claimed": "the entry keeps nothing of single photos, so its numbers cannot be recomputed.",
    "recomputed": "every number was recomputed from the ranks of the single photos, budgets from measured changes.",
    "rerun": "the scenario was run again from nothing, and gave the same numbers.",
}
"""What each badge means."""


def row_name(row: Standing) -> str:
    """A defence with its budget."""
    return row.label if row.epsilon is None else f"{row.label}, ε {numbers.epsilon(row.epsilon)}"


def opponent(who: Opponent) -> str:
    """An attacker and the model behind it."""
    return f"{who.attacker} on {who.model}"


def budget(value: float | None) -> str:
    """A budget as the heading of a game."""
    return "any" if value is None else f"ε ≤ {numbers.epsilon(value)}"


def game(played: bool, tailored: int) -> str:
    """What the game is, and who takes no part in it; empty where there is nothing to say."""
    rule = (
        "If defender and attacker each choose at random, neither knowing the other’s choice, nobody can do better than "
        "these mixtures. The value is the share of photos linked then."
    )
    who = f"{tailored} defences take" if tailored > 1 else "One defence takes"
    left = f"{who} no part: made for the very model that photos meet, so the opponent’s choice was known."
    none = "What is left is no choice." if tailored and not played else ""
    return " ".join(filter(None, [rule if played else "", left if tailored else "", none]))


def mixture(parts: list[tuple[str, float]]) -> str:
    """`45% a, 55% b`."""
    return ", ".join(f"{portion(share)} {name}" for name, share in parts)


def portion(share: float) -> str:
    """A probability of a mixture, without decimals."""
    return "<1%" if share < 0.01 else f"{100 * share:.0f}%"


def flag(name: str) -> str:
    """A validity flag as words."""
    return flags_text.words(name)


def conclusion(ranking: Ranking) -> list[str]:
    """What may be said of a table: sentences that rest on paired tests; empty where photos are not known."""
    shown = ranking.shown
    return [] if shown is None else [summary.attack(shown), *summary.defences(shown), *summary.resolution([shown])]


def rank_range(ranking: Ranking, at: int) -> tuple[int, int]:
    """The ranks that a place may have once differences that chance explains are set aside."""
    ranked = [index for index, place in enumerate(ranking.places) if place.rank is not None]
    value = ranking.places[at].worst.value
    sure = [index for index in ranked if index != at and ranking.apart[at][index]]
    safer = sum(ranking.places[index].worst.value < value for index in sure)
    return 1 + safer, len(ranked) - (len(sure) - safer)
