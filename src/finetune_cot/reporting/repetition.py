"""Repeated inference: what several completions of each question give together."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import sqrt

from finetune_cot.evaluation.checkers import Verdict
from finetune_cot.reporting.charts import Line, LineChart, Point
from finetune_cot.reporting.findings import Measurement, Repeated
from finetune_cot.reporting.naming import naming
from finetune_cot.reporting.tables import Cell, Table, Value, percent, table


def repeated_inference(questions: Sequence[Sequence[Verdict]]) -> Iterator[Repeated]:
    """What the first 1, 2, 4, ... completions of each question give, and all of them.

    Args:
        questions: Verdicts on the completions of each question, in their order.
    """
    most = max(map(len, questions), default=0)
    if most < 2:
        return
    doublings = [2**power for power in range(most.bit_length()) if 2**power < most]
    for count in (*doublings, most):
        groups = [group[:count] for group in questions if len(group) >= count and group[0].gradable]
        if groups:
            yield Repeated(
                completions=count,
                questions=len(groups),
                majority=sum(map(_majority_is_right, groups)),
                any=sum(any(verdict.correct for verdict in group) for group in groups),
            )


def repetition_table(measurements: Iterable[Measurement]) -> Table:
    """Every file with several completions of a question, by how many of them are used."""
    columns = ["model", "method", "training", "dataset", "completions", "n", "majority", "any"]
    rows: list[list[Cell | Value]] = []
    for item in measurements:
        name = naming(item)
        names = name.model, name.method, name.training, item.id.dataset_key
        for found in item.repeated:
            shares = [_share(count, found.questions) for count in (found.majority, found.any)]
            rows.append([*names, found.completions, found.questions, *(percent(*share) for share in shares)])
    return table(
        "repeated_inference",
        columns,
        rows,
        headings=[*columns[:6], "majority right, %", "any right, %"],
        notes=[
            "The first so many completions of each question: how often their most frequent answer is right,"
            " and how often any of them is.",
            "n is the number of questions that have so many; ± one standard error.",
        ],
    )


def repetition_charts(measurements: Iterable[Measurement]) -> Iterator[LineChart]:
    """Majority and any, by the number of completions, for each file that has several."""
    several = (item for item in measurements if len(item.repeated) > 1)
    for number, item in enumerate(several):
        name = naming(item)
        title = f"{item.id.dataset_key}: {name.model}, {name.method}"
        majority = tuple(_point(found, found.majority) for found in item.repeated)
        any_right = tuple(_point(found, found.any) for found in item.repeated)
        yield LineChart(
            name=f"repeated_inference_{number}_{item.id.dataset_key}",
            title=f"Repeated inference: {title}",
            x_label=f"Completions of a question\n{_sizes(item.repeated)}; bars: one standard error",
            y_label="Questions (%)",
            lines=(
                Line("the most frequent answer is right", majority, 0),
                Line("any answer is right", any_right, 1),
            ),
            percent=True,
            doubling=True,
        )


def _point(found: Repeated, right: int) -> Point:
    share, error = _share(right, found.questions)
    return Point(found.completions, 100 * share, 100 * error)


def _sizes(every: Sequence[Repeated]) -> str:
    sizes = sorted({found.questions for found in every})
    return f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]}"


def _share(count: int, of: int) -> tuple[float, float]:
    """A share and its standard error."""
    share = count / of
    return share, sqrt(share * (1 - share) / of)


def _majority_is_right(group: Sequence[Verdict]) -> bool:
    counts = Counter(verdict.prediction for verdict in group if verdict.prediction is not None)
    if not counts:
        return False
    winner = counts.most_common(1)[0][0]
    return next(verdict.correct for verdict in group if verdict.prediction == winner)
