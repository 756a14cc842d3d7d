"""The evasion attacks of ART 1.20 with an L-infinity or an L2 budget, as data; imports neither it nor torch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from linkbench.adapters.classifier_attack import Alpha, AttackSpec, NotNegative, Part, Positive, Queries, Steps

Fields = dict[str, tuple[Any, Any]]

Starts = Annotated[
    int, Field(ge=0, le=1_000_000, description="random starts; 0: from the photo. Photos are then attacked singly")
]
Tries = Annotated[int, Field(ge=1, le=1_000_000, description="random starts; the best is kept")]
Iterations = Annotated[int, Field(ge=1, le=1_000_000, description="steps of the search")]

LOOP: Fields = {"steps": (Steps, 10), "alpha": (Alpha, None)}
STARTS: Fields = {"num_random_init": (Starts, 0)}
AUTO: Fields = {**LOOP, "nb_random_init": (Tries, 1)}
SEARCH: Fields = {
    "confidence": (Annotated[float, Field(ge=0, description="margin that is aimed at")], 0.0),
    "learning_rate": (Positive, 0.01),
    "initial_const": (Annotated[float, Field(gt=0, description="first weight of the margin")], 0.01),
}
SQUARE: Fields = {
    "queries": (Queries, 500),
    "p_init": (Annotated[float, Field(gt=0, le=1, description="part of the pixels in the first square")], 0.8),
    "nb_restarts": (Tries, 1),
}
HOP: Fields = {
    "steps": (Iterations, 10),
    "max_eval": (
        Annotated[int, Field(ge=1, le=1_000_000, description="predictions per estimated gradient, at most")],
        1000,
    ),
    "init_eval": (
        Annotated[int, Field(ge=1, le=1_000_000, description="predictions of the first estimated gradient")],
        100,
    ),
    "init_size": (Annotated[int, Field(ge=1, le=1_000_000, description="random photos tried as starting points")], 100),
}
STEPS = {"steps": "max_iter", "alpha": "eps_step"}
QUIET: dict[str, Any] = {"verbose": False}
INF: dict[str, Any] = {"norm": "inf", **QUIET}
TWO: dict[str, Any] = {"norm": 2, **QUIET}
SMALL: dict[str, Any] = {
    "steps": 4,
    "queries": 20,
    "max_eval": 20,
    "init_eval": 5,
    "init_size": 10,
    "binary_search_steps": 1,
    "decrease_factor": 0.5,
    "initial_const": 10.0,
    "learning_rate": 0.1,
    "nb_grads": 3,
}
"""Parameters with which an attack is tried."""


def _loop(attack: str, fields: Fields, **more: Any) -> AttackSpec:
    return AttackSpec(attack, fields, **{"rename": STEPS, "extra": QUIET, **more})


ATTACKS: dict[str, AttackSpec] = {
    "fgsm": AttackSpec("FastGradientMethod", extra={"norm": "inf"}),
    "bim": _loop("BasicIterativeMethod", LOOP),
    "pgd": _loop(
        "ProjectedGradientDescent",
        {**LOOP, **STARTS},
        extra=INF,
        alone="num_random_init",
    ),
    "momentum": _loop(
        "MomentumIterativeMethod",
        {**LOOP, "decay": (NotNegative, 1.0)},
        extra=INF,
    ),
    "auto-pgd": _loop(
        "AutoProjectedGradientDescent",
        AUTO,
        extra={**INF, "loss_type": "cross_entropy"},
        alone=True,
        stops=True,
    ),
    "auto-conjugate": _loop(
        "AutoConjugateGradient",
        AUTO,
        extra={**INF, "loss_type": "cross_entropy"},
        alone=True,
        stops=True,
    ),
    "carlini-linf": _loop(
        "CarliniLInfMethod",
        {"steps": (Steps, 10), **SEARCH, "decrease_factor": (Annotated[float, Field(gt=0, lt=1)], 0.9)},
        alone=True,
        stops=True,
        budget="",
    ),
    "square": AttackSpec(
        "SquareAttack",
        SQUARE,
        alone=True,
        stops=True,
        rename={"queries": "max_iter"},
        extra=INF,
    ),
    "simba": AttackSpec(
        "SimBA",
        {"steps": (Annotated[int, Field(ge=1, le=1_000_000, description="pixels that are tried")], 1000)},
        alone=True,
        stops=True,
        rename={"steps": "max_iter"},
        extra={"attack": "px", **QUIET},
        budget="epsilon",
    ),
    "hop-skip-jump": _loop(
        "HopSkipJump",
        HOP,
        alone=True,
        stops=True,
        extra=INF,
        budget="",
        start=True,
    ),
    "fgsm-l2": AttackSpec(
        "FastGradientMethod",
        norm="l2",
        extra={"norm": 2},
    ),
    "pgd-l2": _loop(
        "ProjectedGradientDescent",
        {**LOOP, **STARTS},
        norm="l2",
        extra=TWO,
        alone="num_random_init",
    ),
    "auto-pgd-l2": _loop(
        "AutoProjectedGradientDescent",
        AUTO,
        norm="l2",
        extra={**TWO, "loss_type": "cross_entropy"},
        alone=True,
        stops=True,
    ),
    "carlini-l2": _loop(
        "CarliniL2Method",
        {"steps": (Steps, 10), **SEARCH, "binary_search_steps": (Annotated[int, Field(ge=1, le=1_000)], 5)},
        norm="l2",
        alone=True,
        stops=True,
        budget="",
    ),
    "deepfool": _loop(
        "DeepFool",
        {
            "steps": (Steps, 50),
            "nb_grads": (Annotated[int, Field(ge=1, le=1_000_000, description="likeliest classes compared")], 10),
        },
        norm="l2",
        alone=True,
        labelled=False,
        stops=True,
        budget="",
    ),
    "newtonfool": _loop(
        "NewtonFool",
        {"steps": (Steps, 50), "eta": (Annotated[Part, Field(description="aggressiveness of a step")], 0.01)},
        norm="l2",
        alone=True,
        labelled=False,
        budget="",
    ),
    "square-l2": AttackSpec(
        "SquareAttack",
        SQUARE,
        norm="l2",
        alone=True,
        stops=True,
        rename={"queries": "max_iter"},
        extra=TWO,
    ),
    "hop-skip-jump-l2": _loop(
        "HopSkipJump",
        HOP,
        norm="l2",
        alone=True,
        stops=True,
        extra=TWO,
        budget="",
        start=True,
    ),
}
"""Every attack by the name that follows `art/`."""
