"""Subsets measured by the workers of a Ray cluster; this process hands them out and writes the results.

The workers need no shared ``saved/``: samples go to them with the plan.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from finetune_cot.artifacts.results import ResultRow, append_result
from finetune_cot.estimation.subsets import Subset
from finetune_cot.pipeline.progress import progress
from finetune_cot.pipeline.ray_pool import done_on_ray, worker_device
from finetune_cot.pipeline.sample_truth import TruthPlan, begin, load_truth_model, measure, missing_subsets


class TruthWorker:
    """A process of the cluster with the model loaded once, which measures one subset after another."""

    def __init__(self, plan: TruthPlan) -> None:
        self._plan = plan
        self._subject: Any = None

    def load(self) -> None:
        """Load the model on this worker's device."""
        self._plan = replace(self._plan, device=worker_device(self._plan.config))
        self._subject = load_truth_model(self._plan)

    def do(self, subset: Subset) -> ResultRow:
        """Fine-tune on a subset, and measure every task's dev loss."""
        return measure(self._subject, self._plan, subset, lambda _: None)


def measure_on_ray(plan: TruthPlan, subsets: Sequence[Subset]) -> None:
    """Measure subsets on the workers of a Ray cluster, each result being written when it is there.

    Raises:
        UsageError: the cluster cannot be reached.
        TrainingError: several workers died over the same subset, or while they loaded the model.
        FtcotError: what a worker raised.
    """
    rows = done_on_ray(TruthWorker, plan, subsets, plan.config, plan.config.devices, _told)
    with progress("sample-truth", len(subsets), "subsets") as report:
        for done, (subset, row) in enumerate(rows, start=1):
            if done == 1:
                begin(plan)
            if subset in missing_subsets(plan):
                append_result(plan.path, row)
            report(done)


def _told(subset: Subset) -> str:
    return f"subset {' '.join(map(str, subset))}"
