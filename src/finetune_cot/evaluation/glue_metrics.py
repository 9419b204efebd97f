"""What GLUE's tasks are measured by (Wang et al. 2019, table 1), as scikit-learn and SciPy compute it."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

Values = Sequence[float]
"""Numbers of the classes, or scores."""


def glue_metrics(task: str, guesses: Values, right: Values) -> dict[str, float]:
    """The metrics of a task by name; one that is not defined, such as of a constant guess, is not a number.

    Args:
        task: Name of the task, such as ``cola``.
        guesses: What was predicted for each sample.
        right: What is right.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they warn of, NaN tells
        return {name: float(METRICS[name](guesses, right)) for name in METRICS_OF_TASK.get(task, _USUAL)}


def _accuracy(guesses: Values, right: Values) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(right, guesses))


def _f1(guesses: Values, right: Values) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(right, guesses, pos_label=1.0, zero_division=0.0))


def _matthews(guesses: Values, right: Values) -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(right, guesses))


def _pearson(guesses: Values, right: Values) -> float:
    from scipy.stats import pearsonr

    return float(pearsonr(guesses, right).statistic) if len(right) > 1 else float("nan")


def _spearman(guesses: Values, right: Values) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(guesses, right).statistic) if len(right) > 1 else float("nan")


METRICS: Mapping[str, Callable[[Values, Values], float]] = MappingProxyType(
    {
        "accuracy": _accuracy,
        "f1": _f1,
        "matthews": _matthews,
        "pearson": _pearson,
        "spearman": _spearman,
    }
)
_USUAL = ("accuracy",)

METRICS_OF_TASK: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "cola": ("matthews", "accuracy"),
        "mrpc": ("accuracy", "f1"),
        "qqp": ("accuracy", "f1"),
        "stsb": ("pearson", "spearman"),
    }
)
"""Where it is not accuracy alone; GLUE's own first. Of CoLA accuracy stands beside."""
