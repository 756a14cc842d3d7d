"""What the validity flags of a row mean, for people."""

from __future__ import annotations

FLAGS: dict[str, str] = {
    "zero-gradient": "The defender follows gradients and found none: some photos stayed as they were, so they look "
    "less protected than this defender could make them.",
    "below-quantisation": "The budget is below half an 8-bit step (0.5/255) and the photos are published with 8 bits: "
    "rounding takes the change away.",
    "over-budget": "The plugin left its budget; the harness took its photos back before they were measured.",
    "over-budget-after-publication": "What was published differs from the original by more than the budget and half an "
    "8-bit step.",
    "weak-model": "Without any defender no phenotype is predicted, or nobody identified, clearly better than by "
    "chance: there is little to protect against.",
    "weak-linkage": "This attacker links even unprotected photos no better than by chance, so his numbers say nothing "
    "about any defence.",
    "weaker-than-noise": "Unaimed noise of the same budget protects better, by a paired test over people.",
    "black-box-beats-white-box": "The same defender does better with another model's gradients than with those of the "
    "attacker's own predictor: the optimisation is stuck, so the white-box number is no worst case.",
    "more-steps-weaker": "With four times as many steps the defender gets less far by its own measure, so it is not "
    "at its end: the number is no worst case.",
    "more-tries-weaker": "With four times as many tries from random points the defender gets less far by its own "
    "measure, which keeps the best of them: an error, or a measure that changes from call to call.",
    "larger-budget-weaker": "Within a budget eight times as large (at most 0.5) the defender gets less far by its own "
    "measure, or moves fewer than half of the photos forward: its gradients do not lead where it wants to go.",
    "random-search-stronger": "The best of twenty random points of the budget serves the defender better than what its "
    "gradients led it to: they are masked or vanish, and the number is no worst case.",
    "poison-below-quantisation": "The poison's budget is below half an 8-bit step (0.5/255) and the photos that the "
    "attacker trains on are published with 8 bits: rounding takes the poison away.",
    "poison-over-budget": "The poison left its budget; the harness took its photos back before they were published.",
    "poison-over-budget-after-publication": "What the attacker trained on differs from the original photos by more "
    "than the poison's budget and half an 8-bit step.",
}
"""Explanation of each flag that linkbench gives; plugins and later versions may give others."""


def words(flag: str) -> str:
    """The flag as it is shown: its name without hyphens."""
    return flag.replace("-", " ").replace("_", " ").strip()


def explain(flags: list[str]) -> list[tuple[str, str]]:
    """Each flag as words with its explanation; an unknown one is shown as it is, unexplained."""
    return [(words(flag), FLAGS[flag]) if flag in FLAGS else (flag, "") for flag in flags]
