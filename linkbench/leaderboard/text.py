"""What a leaderboard says in words, the same in README.md and on the page."""

from __future__ import annotations

from linkbench.leaderboard.board import Opponent, Standing, Standings
from linkbench.leaderboard.protocol import NAMED
from linkbench.leaderboard.ranking import Place, Ranking
from linkbench.report import flags_text, numbers, summary

INTRODUCTION = (
    "How well defences keep somebody who has your photo from finding your genome, or your name. Defences are ranked by "
    "their worst case over the opponents that all of them met: the lower, the fewer are found by those."
)


def among(table: Standings) -> str:
    """What every photo was ranked among."""
    what = "people of the gallery" if table.protocol.data.genomes == NAMED else "genomes"
    return f"{table.population:,} {what}"


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
    "rerun": "somebody else ran the scenario again from nothing, and signed that it gave the same numbers but for the "
    "tolerance beside the badge.",
    "fresh": "somebody else ran it on people and opponents that the author could not know, and signed that no defence "
    "takes away less there, but for the tolerance beside the badge.",
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
    if shown is None:
        return []
    agreed = ranking.agreement
    seeds = [] if agreed is None else [f"Two seeds order the defences with Kendall's tau {agreed:.2f}, on average."]
    return [summary.attack(shown), *summary.defences(shown), *summary.resolution([shown]), *seeds]


def ranks(place: Place) -> str:
    """`1`, or `1–4` where chance explains the differences; empty without a rank."""
    if place.rank is None or place.last is None:
        return ""
    return f"{place.rank}{numbers.DASH}{place.last}" if place.rank < place.last else str(place.rank)


def budget_class(place: Place) -> str:
    """The class in which a row is ranked."""
    if place.row.yardstick == "none":
        return ""
    return "perceptual" if place.bound is None else f"{round(255 * place.bound, 2):g}/255"


def opponents_of(weak: list[Opponent], judging: list[Opponent]) -> list[str]:
    """Who judges, and who does not and why, as sentences."""
    if not judging:
        return ["No opponent links undefended photos better than guessing does, so nothing is ranked."]
    return [f"Opponents that count: {_people(judging)}.", *blind(weak)]


def blind(weak: list[Opponent]) -> list[str]:
    """Who is no opponent, as a sentence; nothing where everybody is one."""
    return [f"No better than guessing on undefended photos, so no opponents: {_people(weak)}."] if weak else []


def _people(who: list[Opponent]) -> str:
    """Opponents in few words where every attacker is there with every model."""
    attackers, models = (list(dict.fromkeys(getattr(one, part) for one in who)) for part in ("attacker", "model"))
    if len(who) == len(attackers) * len(models) and len(models) > 1:
        return f"{numbers.and_list(attackers)}, each on {numbers.and_list(models)}"
    return numbers.and_list([opponent(one) for one in who])
