"""How fast the regressions of many subsets are solved, beside one scikit-learn fit a subset.

    python tests/benchmarks/estimate.py [--subsets 1000] [--tasks 38] [--samples 20000] [--dim 400]

Prints one JSON object: ``seconds`` (median), ``speedup_to_sklearn`` (ten fits, spread over the run, timed and
scaled), ``max_difference`` (largest relative difference of a solution to scikit-learn's, of those ten) and
``peak_memory_bytes`` of the process before scikit-learn is loaded.
"""

import argparse
import json
import resource
import statistics
import time

import numpy as np

from finetune_cot.estimation.logistic import solve_subsets
from finetune_cot.estimation.subsets import random_subsets

RIDGE = 0.03
FITS = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    defaults = {"subsets": 1000, "tasks": 38, "samples": 20000, "dim": 400, "repeats": 5}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    task = random.integers(0, options.tasks, options.samples)
    directions = random.normal(size=(options.tasks, options.dim))
    features = 0.5 * directions[task] + random.normal(size=(options.samples, options.dim))
    # Gradients have a spectrum that falls off.
    features = (features * np.arange(1, options.dim + 1) ** -0.5).astype(np.float32)
    subsets = random_subsets(options.tasks, options.tasks // 2, options.subsets, seed=0)
    seconds = []
    for _ in range(options.repeats):
        started = time.perf_counter()
        theta = solve_subsets(features, task, subsets, ridge=RIDGE).theta
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    fits, differences = one_by_one(features, task, subsets, theta)
    print(
        json.dumps(
            {
                "seconds": statistics.median(seconds),
                "speedup_to_sklearn": statistics.median(fits) * options.subsets / statistics.median(seconds),
                "max_difference": max(differences),
                "peak_memory_bytes": peak,
                "seconds_of_each": seconds,
                "sklearn_seconds_of_each": fits,
                **vars(options),
            }
        )
    )


def one_by_one(
    features: np.ndarray, task: np.ndarray, subsets: list[tuple[int, ...]], theta: np.ndarray
) -> tuple[list[float], list[float]]:
    """Seconds of scikit-learn fits with its default solver, and how far our solutions are from exact ones."""
    from sklearn.linear_model import LogisticRegression

    seconds, differences = [], []
    for place in np.linspace(0, len(subsets) - 1, FITS).astype(int):
        rows = features[np.isin(task, subsets[place])].astype(np.float64)
        # The regression through zero of one class, as the two classes that scikit-learn asks for.
        both, labels = np.vstack([rows, -rows]), np.repeat([1, 0], len(rows))
        strength = 1 / (2 * len(rows) * RIDGE)
        started = time.perf_counter()
        LogisticRegression(C=strength, fit_intercept=False).fit(both, labels)
        seconds.append(time.perf_counter() - started)
        exact = LogisticRegression(C=strength, fit_intercept=False, solver="newton-cholesky", tol=1e-12)
        expected = exact.fit(both, labels).coef_[0]
        differences.append(float(np.linalg.norm(theta[place] - expected) / np.linalg.norm(expected)))
    return seconds, differences


if __name__ == "__main__":
    main()
