"""The attacks of torchattacks 3.5.1 that have an L-infinity or an L2 budget, as data; imports neither it nor torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from linkbench.adapters.classifier_attack import (
    Alpha,
    AttackSpec,
    NotNegative,
    Part,
    Positive,
    Queries,
    RandomStart,
    Restarts,
    Steps,
)
from linkbench.api.fields import Count

Fields = dict[str, tuple[Any, Any]]

DECAY = (Annotated[float, Field(ge=0, description="share of the earlier gradients in the next step")], 1.0)
DIVERSITY: Fields = {
    "decay": DECAY,
    "resize_rate": (Annotated[float, Field(gt=0, lt=1, description="size of the shrunken photo")], 0.9),
    "diversity_prob": (Annotated[float, Field(ge=0, le=1, description="how often the photo is shrunken")], 0.5),
    "random_start": (RandomStart, False),
}
NOISE: Fields = {
    "noise_sd": (Annotated[float, Field(gt=0, description="standard deviation of the smoothing noise")], 0.05),
    "noise_batch_size": (Annotated[int, Field(ge=1, le=1_000_000, description="noisy copies averaged per step")], 5),
}
TARGETS = (
    Annotated[int, Field(ge=1, le=1_000_000, description="most likely other classes that are tried as targets")],
    9,
)
NEIGHBOURS: Fields = {
    "N": (Annotated[int, Field(ge=1, le=1_000_000, description="neighbours whose gradients are averaged")], 5),
    "beta": (Annotated[float, Field(gt=0, description="radius of the neighbourhood, in budgets")], 1.5),
}
LOOP: Fields = {"steps": (Steps, 10), "alpha": (Alpha, None)}
START: Fields = {"random_start": (RandomStart, False)}
PIXELS: Fields = {
    "steps": (Steps, 10),
    "amplification": (Annotated[float, Field(gt=0, description="steps are this many times epsilon / steps")], 10.0),
}
APGD: Fields = {
    "steps": (Steps, 10),
    "n_restarts": (Restarts, 1),
    "eot_iter": (Annotated[int, Field(ge=1, le=1_000_000, description="gradients averaged per step")], 1),
    "rho": (Annotated[float, Field(gt=0, lt=1, description="share of improving steps that keeps the step size")], 0.75),
}
LOSS = (Literal["ce", "dlr"], "ce")
FAB: Fields = {
    "steps": (Steps, 10),
    "n_restarts": (Restarts, 1),
    "alpha_max": (Part, 0.1),
    "eta": (Positive, 1.05),
    "beta": (Part, 0.9),
    "targets": TARGETS,
}
SQUARE: Fields = {
    "queries": (Queries, 500),
    "n_restarts": (Restarts, 1),
    "p_init": (Annotated[float, Field(gt=0, le=1, description="part of the pixels in the first square")], 0.8),
    "loss": (Literal["margin", "ce"], "margin"),
}
L2: dict[str, Any] = {"norm": "L2"}
TARGETED: dict[str, Any] = {"multi_targeted": True}

SMALL: dict[str, Any] = {
    "steps": 4,
    "queries": 20,
    "samples": 16,
    "noise_batch_size": 2,
    "N": 2,
    "m": 2,
    "targets": 3,
    "version": "rand",
}
"""Parameters with which an attack is tried."""

ATTACKS: dict[str, AttackSpec] = {
    "fgsm": AttackSpec("FGSM"),
    "bim": AttackSpec("BIM", LOOP),
    "rfgsm": AttackSpec("RFGSM", LOOP, alone=True),
    "pgd": AttackSpec("PGD", {**LOOP, **START}, alone="random_start"),
    "eotpgd": AttackSpec(
        "EOTPGD",
        {**LOOP, "eot_iter": (Count, 2), **START},
        alone="random_start",
    ),
    "ffgsm": AttackSpec(
        "FFGSM",
        {"alpha": (Annotated[Alpha, Field(description="length of the step; default 1.25 budgets")], None)},
        alone=True,
        step=1.25,
    ),
    "tpgd": AttackSpec("TPGD", LOOP, alone=True, labelled=False),
    "mifgsm": AttackSpec("MIFGSM", {**LOOP, "decay": DECAY}),
    "nifgsm": AttackSpec("NIFGSM", {**LOOP, "decay": DECAY}),
    "sinifgsm": AttackSpec(
        "SINIFGSM",
        {
            **LOOP,
            "decay": DECAY,
            "m": (Annotated[int, Field(ge=1, le=1_000_000, description="copies, each half as bright")], 5),
        },
    ),
    "vmifgsm": AttackSpec(
        "VMIFGSM",
        {**LOOP, "decay": DECAY, **NEIGHBOURS},
        alone=True,
    ),
    "vnifgsm": AttackSpec(
        "VNIFGSM",
        {**LOOP, "decay": DECAY, **NEIGHBOURS},
        alone=True,
    ),
    "difgsm": AttackSpec("DIFGSM", {**LOOP, **DIVERSITY}, alone=True),
    "tifgsm": AttackSpec(
        "TIFGSM",
        {
            **LOOP,
            **DIVERSITY,
            "len_kernel": (Annotated[int, Field(ge=1, le=63, description="edge of the smoothing kernel, odd")], 15),
            "nsig": (Annotated[float, Field(gt=0, description="standard deviations within the kernel")], 3.0),
        },
        alone=True,
    ),
    "upgd": AttackSpec(
        "UPGD",
        {**LOOP, "decay": DECAY, "loss": (Literal["ce", "dlr", "margin"], "ce"), "eot_iter": (Count, 1), **START},
        alone="random_start",
        positive=True,
    ),
    "jitter": AttackSpec(
        "Jitter",
        {**LOOP, "scale": (Positive, 10.0), "std": (NotNegative, 0.1), **START},
        alone=True,
        positive=True,
    ),
    "pgdrs": AttackSpec(
        "PGDRS",
        {**LOOP, **NOISE},
        alone=True,
        extra={"noise_type": "guassian"},
    ),
    "pifgsm": AttackSpec(
        "PIFGSM",
        PIXELS,
        rename={"steps": "num_iter_set"},
        budget="max_epsilon",
    ),
    "pifgsmpp": AttackSpec(
        "PIFGSMPP",
        {**PIXELS, "project_factor": (Positive, 0.8)},
        rename={"steps": "num_iter_set"},
        budget="max_epsilon",
        alone=True,
    ),
    "apgd": AttackSpec(
        "APGD",
        {**APGD, "loss": LOSS},
        alone=True,
        stops=True,
        seeded=True,
    ),
    "apgdt": AttackSpec(
        "APGDT",
        {**APGD, "targets": TARGETS},
        alone=True,
        stops=True,
        seeded=True,
        classes=4,
    ),
    "fab": AttackSpec(
        "FAB",
        FAB,
        alone=True,
        stops=True,
        seeded=True,
        extra=TARGETED,
    ),
    "square": AttackSpec(
        "Square",
        SQUARE,
        alone=True,
        stops=True,
        seeded=True,
        rename={"queries": "n_queries"},
    ),
    "spsa": AttackSpec(
        "SPSA",
        {
            "steps": (Steps, 10),
            "alpha": (Alpha, None),
            "delta": (Annotated[float, Field(gt=0, le=1, description="distance at which predictions are asked")], 0.01),
            "samples": (Annotated[int, Field(ge=1, le=1_000_000, description="pairs of predictions per step")], 128),
        },
        alone=True,
        rename={"steps": "nb_iter", "alpha": "lr", "samples": "nb_sample"},
    ),
    "autoattack": AttackSpec(
        "AutoAttack",
        {"version": (Literal["standard", "plus", "rand"], "standard"), "targets": TARGETS},
        alone=True,
        stops=True,
        seeded=True,
        classes=4,
    ),
    "pgd-l2": AttackSpec(
        "PGDL2",
        {**LOOP, **START},
        norm="l2",
        alone="random_start",
    ),
    "pgdrs-l2": AttackSpec(
        "PGDRSL2",
        {**LOOP, **NOISE},
        norm="l2",
        alone=True,
        extra={"noise_type": "guassian"},
    ),
    "apgd-l2": AttackSpec(
        "APGD",
        {**APGD, "loss": LOSS},
        norm="l2",
        alone=True,
        stops=True,
        seeded=True,
        extra=L2,
    ),
    "fab-l2": AttackSpec(
        "FAB",
        FAB,
        norm="l2",
        alone=True,
        stops=True,
        seeded=True,
        extra={**L2, **TARGETED},
    ),
    "cw-l2": AttackSpec(
        "CW",
        {
            "c": (Annotated[float, Field(gt=0, description="weight of the margin against the distance")], 1.0),
            "kappa": (Annotated[float, Field(ge=0, description="margin that is aimed at")], 0.0),
            "steps": (Steps, 50),
            "lr": (Positive, 0.01),
        },
        norm="l2",
        alone=True,
        stops=True,
        positive=True,
        budget="",
    ),
    "deepfool": AttackSpec(
        "DeepFool",
        {"steps": (Steps, 50), "overshoot": (NotNegative, 0.02)},
        norm="l2",
        stops=True,
        budget="",
    ),
}
"""Every attack by the name that follows `torchattacks/`."""
