"""The mathematics of linkbench for people who bring scores of their own: arrays in, arrays out.

How well does an attacker link 3 photos, of 2 people, to 5 genomes? Scores may come from anywhere, higher is better:

    >>> import numpy as np
    >>> from linkbench import metrics
    >>> scores = np.array([[4, 1, 0, 2, 2], [3, 3, 1, 0, 0], [0, 1, 2, 3, 4]])
    >>> truth, person = np.array([0, 1, 2]), np.array([0, 0, 1])
    >>> ranks = metrics.count_ranks(metrics.Scores.dense(scores, truth))
    >>> ranks.better, ranks.tied, ranks.expected
    (array([0, 0, 2]), array([0, 1, 0]), array([1. , 1.5, 3. ]))

Its exact success@1 and success@3 among 2 genomes and among all 5, as a mean over the photos:

    >>> curves = metrics.success_curves(ranks, population=5, ks=[1, 3], sizes=[2, 5])
    >>> curves.mean(axis=2).round(3)
    array([[0.792, 0.5  ],
           [1.   , 1.   ]])

The interval of success@1 among 2 genomes, people being the unit, and the area under the ROC curve:

    >>> low, high = metrics.interval(curves[0, 0][:, None], person, ends=(0, 1))[:, 0]
    >>> bool(0 < low < 0.792 < high < 1)
    True
    >>> round(metrics.roc_by_k(ranks, population=5).auc, 3)
    0.792
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkbench.public import lazily

if TYPE_CHECKING:
    from linkbench.metrics.comparison import by_person, holm, p_values, people_needed, smallest_difference
    from linkbench.metrics.counting import count_ranks, roc_by_score
    from linkbench.metrics.intervals import interval, resampled_means
    from linkbench.metrics.leak import success_bound
    from linkbench.metrics.ranking import (
        Ranks,
        Roc,
        expected_success,
        reciprocal_rank,
        roc_by_k,
        success_curves,
    )
    from linkbench.metrics.scores import TIE, Scores

__all__ = [
    "TIE",
    "Ranks",
    "Roc",
    "Scores",
    "by_person",
    "count_ranks",
    "expected_success",
    "holm",
    "interval",
    "p_values",
    "people_needed",
    "reciprocal_rank",
    "resampled_means",
    "roc_by_k",
    "roc_by_score",
    "smallest_difference",
    "success_bound",
    "success_curves",
]

if not TYPE_CHECKING:  # a type checker would take every name for one that is there
    __getattr__, __dir__ = lazily(__name__)
