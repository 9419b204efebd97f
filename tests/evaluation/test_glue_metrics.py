"""GLUE's metrics, beside values found by hand."""

import math

import pytest

from finetune_cot.evaluation.glue_metrics import glue_metrics

# Of the pairs two are true positives, one a false positive, one a false negative, and one a true negative.
GUESSES, RIGHT = [1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("sst2", {"accuracy": 3 / 5}),
        ("mrpc", {"accuracy": 3 / 5, "f1": 2 * 2 / (2 * 2 + 1 + 1)}),
        ("cola", {"matthews": (2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2), "accuracy": 3 / 5}),
    ],
)
def test_of_classes(task: str, expected: dict[str, float]) -> None:
    assert glue_metrics(task, GUESSES, RIGHT) == pytest.approx(expected)


def test_of_scores() -> None:
    """Spearman's is Pearson's of the ranks, here 1 2 3 4 beside 1 2 4 3."""
    found = glue_metrics("stsb", [0.0, 1.0, 2.0, 10.0], [0.0, 1.0, 4.0, 3.0])
    assert found["spearman"] == pytest.approx(0.8)
    mean, other = 3.25, 2.0
    pairs = [(0.0, 0.0), (1.0, 1.0), (2.0, 4.0), (10.0, 3.0)]
    covariance = sum((a - mean) * (b - other) for a, b in pairs)
    spread = math.sqrt(sum((a - mean) ** 2 for a, _ in pairs) * sum((b - other) ** 2 for _, b in pairs))
    assert found["pearson"] == pytest.approx(covariance / spread)


def test_what_is_not_defined_is_not_a_number() -> None:
    assert math.isnan(glue_metrics("stsb", [1.0, 1.0], [0.0, 1.0])["pearson"])
