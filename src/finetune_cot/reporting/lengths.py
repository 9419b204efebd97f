"""How long completions are, beside the limit on their tokens and what students learned from."""

from collections.abc import Iterable, Iterator, Sequence

from finetune_cot.artifacts.completions import Completion
from finetune_cot.artifacts.finetune_data import FinetuneRow
from finetune_cot.reporting.charts import Line, LineChart, Point
from finetune_cot.reporting.findings import Lengths, Measurement, TrainingData
from finetune_cot.reporting.naming import naming, train_key_and_run
from finetune_cot.reporting.tables import Table, Value, table

QUANTILES = (0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100)
"""Percent of the texts that a distribution is drawn at."""
MAX_LINES = 8
"""Distributions in one chart: as many as there are colours."""


def completion_lengths(completions: Sequence[Completion], limit: int | None) -> Lengths:
    """Lengths of completions, both steps of two together.

    Args:
        completions: Those of a file.
        limit: New tokens that a rationale may have at most, where it is known.
    """
    texts = ((item.reasoning_completion or "") + " " + item.completion for item in completions)
    counts = [item.extra.get("completion_tokens") for item in completions]
    known = [count for count in counts if isinstance(count, int) and count > 0]
    reasons = [
        item.finish_reason if item.reasoning_completion is None else item.reasoning_finish_reason
        for item in completions
    ]
    return Lengths(
        words=tuple(sorted(len(text.split()) for text in texts)),
        tokens=tuple(sorted(known)) if len(known) == len(counts) else (),
        limit=limit,
        cut_off=None if None in reasons else sum(reason == "length" for reason in reasons),
    )


def training_lengths(rows: Iterable[FinetuneRow]) -> Lengths:
    """Lengths of what students learn to write."""
    return Lengths(tuple(sorted(len(f"{row.reasoning or ''} {row.answer}".split()) for row in rows)))


def quantile(values: Sequence[int], share: int) -> int:
    """The value that so many percent of ascending values do not exceed.

    Raises:
        IndexError: there are no values.
    """
    return values[max(0, -(-share * len(values) // 100) - 1)]


def lengths_table(measurements: Iterable[Measurement], training_data: Iterable[TrainingData]) -> Table:
    """Length of every file's texts, in words, and in tokens where the file tells."""
    rows: list[list[Value]] = [
        [*_names(item), item.id.dataset_key, *_measures(item.lengths)] for item in measurements
    ]
    rows += [
        ["", "training data", item.finetune_key, " ".join(item.tasks), *_measures(item.lengths)]
        for item in training_data
    ]
    columns = ["model", "method", "training", "dataset", "n", "median_words", "p95_words", "max_words"]
    return table(
        "lengths",
        [*columns, "median_tokens", "p95_tokens", "max_tokens", "limit", "cut_off"],
        rows,
        headings=[
            *("model", "method", "training", "dataset", "n", "words: median", "95 %", "most"),
            *("tokens: median", "95 %", "most", "limit", "cut off"),
        ],
        notes=[
            "n counts completions, or samples of training data; rationale and answer are taken together.",
            "Limit: new tokens that a rationale may have; cut off: completions that ended there.",
        ],
    )


def lengths_charts(
    measurements: Sequence[Measurement], training_data: Sequence[TrainingData]
) -> Iterator[LineChart]:
    """For each data set, how the lengths of its completions are distributed.

    In words beside its training data, and in tokens beside the limit where the files tell of them.
    """
    for dataset in sorted({item.id.dataset_key for item in measurements}):
        learned = [item for item in training_data if item.tasks == (dataset,)]
        named = [(f"training data {item.finetune_key}", item.lengths) for item in learned[: MAX_LINES // 2]]
        written = [(_label(item), item.lengths) for item in measurements if item.id.dataset_key == dataset]
        words = [(f"{label}, {_told(of)}", of.words) for label, of in [*named, *written] if of.words]
        if words:
            title = f"Length of rationale and answer: {dataset}"
            yield _chart(f"lengths_{dataset}", title, "Words", _lines(words))
        tokens = [(f"{label}, {_told(of)}", of.tokens) for label, of in written if of.tokens]
        if tokens:
            limits = sorted({of.limit for _, of in written if of.tokens and of.limit is not None})
            lines = [*_lines(tokens), *(_limit(limit, place) for place, limit in enumerate(limits))]
            title = f"New tokens of rationale and answer: {dataset}"
            yield _chart(f"tokens_{dataset}", title, "New tokens", lines)


def _chart(name: str, title: str, unit: str, lines: Sequence[Line]) -> LineChart:
    share = "Texts that are at most so long (%)"
    return LineChart(name, title, x_label=unit, y_label=share, lines=tuple(lines), percent=True)


def _lines(named: Sequence[tuple[str, Sequence[int]]]) -> list[Line]:
    return [
        Line(label, _distribution(values), colour) for colour, (label, values) in enumerate(named[:MAX_LINES])
    ]


def _limit(limit: int, place: int) -> Line:
    """An upright line at the limit."""
    ends = Point(limit, 0), Point(limit, 100)
    return Line(f"limit of {limit} for the rationale", ends, MAX_LINES + place, dashed=True)


def _label(item: Measurement) -> str:
    model, method, training = _names(item)
    return ", ".join((model, f"{method} [{training}]" if training else method))


def _told(lengths: Lengths) -> str:
    """How many texts there are, and how many of them the limit cut off."""
    cut = "" if lengths.cut_off is None else f", {lengths.cut_off} cut off"
    limit = "" if lengths.limit is None or not cut else f" at {lengths.limit} tokens"
    return f"n = {len(lengths.words)}{cut}{limit}"


def _names(item: Measurement) -> tuple[str, str, str]:
    """What tells a file from the others, its run and epoch too."""
    name, run = naming(item), train_key_and_run(item.id.train_key or "")[1]
    training = name.training + (f", run {run}" if run else "")
    epoch = "" if item.id.epoch is None else f", epoch {item.id.epoch}"
    return name.model, name.method, training + epoch


def _distribution(values: Sequence[int]) -> tuple[Point, ...]:
    """The shares by length; of the shares with one length the highest, so that lines only ever rise."""
    highest = {quantile(values, share): share for share in QUANTILES}
    return tuple(Point(length, share) for length, share in highest.items())


def _measures(lengths: Lengths) -> list[Value]:
    words, tokens = ([*_quantiles(values)] for values in (lengths.words, lengths.tokens))
    return [len(lengths.words), *words, *tokens, lengths.limit, lengths.cut_off]


def _quantiles(values: Sequence[int]) -> Iterable[int | None]:
    return (quantile(values, share) if values else None for share in (50, 95, 100))
