"""Gets the published data sets from where their authors, or those of zero-shot-CoT, give them out.

The samples keep the order and the number that the published splits and completions refer to. `SOURCES` says
where each data set comes from.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from finetune_cot.errors import DataError, UsageError
from finetune_cot.tasks.answer_formats import PUBLISHED_FORMATS
from finetune_cot.tasks.converters import (
    Converted,
    Record,
    from_aqua,
    from_bigbench_choice,
    from_commonsense_qa,
    from_equation_problem,
    from_gsm8k,
    from_multiarith,
    from_question_and_answer,
    from_strategy_qa,
    from_svamp,
)
from finetune_cot.tasks.hub import load_hub_rows
from finetune_cot.tasks.reasoning import dataset_path, store_dataset
from finetune_cot.tasks.sample import Dataset, Sample

TIMEOUT = 60
"""Seconds that a server may be silent."""
MAX_BYTES = 200 * 2**20
"""Largest file that is read from a server; the largest of these data sets has 50 MB."""


@dataclass(frozen=True)
class Source:
    """Where a data set is to be had."""

    address: str
    """A data set of the Hugging Face hub, or the address of a JSON file."""
    samples: int
    """Samples that all its parts have together."""
    convert: Callable[[Sequence[Record]], list[Converted]]
    parts: tuple[str, ...] = ()
    """Parts of the hub's data set, in the order in which the samples are numbered."""


@dataclass(frozen=True)
class FetchReport:
    """What was fetched."""

    key: str
    path: Path
    written: bool
    """False where the file was there already, just so."""
    samples: int
    source: str


def fetch_dataset(
    key: str, data_dir: Path, *, overwrite: bool = False, source: Source | None = None
) -> FetchReport:
    """Download a published data set into ``<data_dir>/dataset/<key>.json``.

    Args:
        key: Key of the data set.
        data_dir: The data folder.
        overwrite: Whether another file of that name may be replaced.
        source: Where to get it; by default from `SOURCES`.

    Raises:
        UsageError: it is none of the published data sets.
        DataError: it cannot be reached or is not as it was published, or another file of that name is there
            and ``overwrite`` is false.
        ArtifactError: the data folder cannot be written to.
    """
    if key not in SOURCES:
        known = ", ".join((*SOURCES, "glue/<task>"))
        raise UsageError(f"{key!r} is no published data set", remedy=f"choose one of {known}")
    source = source or SOURCES[key]
    rows, metadata = _download(source, data_dir, key)
    try:
        converted = source.convert(rows)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise _not_as_published(source, f"a row has another form ({type(error).__name__}: {error})") from None
    if len(converted) != source.samples:
        raise _not_as_published(source, f"it has {len(converted)} samples, not {source.samples}")
    samples = tuple(
        Sample(index, row.question, row.answer, key, row.rationale) for index, row in enumerate(converted)
    )
    dataset = Dataset(key, samples, source.address, {key: PUBLISHED_FORMATS[key]})
    path, written = store_dataset(dataset, data_dir, {"source": source.address, **metadata}, overwrite)
    return FetchReport(key, path, written, len(samples), source.address)


def _download(source: Source, data_dir: Path, key: str) -> tuple[Sequence[Record], dict[str, str]]:
    """Rows, and what else must stay with them."""
    try:
        if source.parts:
            return [row for part in source.parts for row in load_hub_rows(source.address, part)], {}
        content = json.loads(_read_url(source.address))
    except ValueError:
        raise _not_as_published(source, "it is no JSON") from None
    except DataError as error:
        remedy = f"go online and try again, or put the data set into {dataset_path(key, data_dir)}"
        raise DataError(error.what, where=error.where, remedy=remedy) from None
    if not isinstance(content, dict):
        return content, {}
    canary = {"canary": content["canary"]} if "canary" in content else {}
    return content.get("examples", ()), canary


def _read_url(address: str) -> bytes:
    import http.client
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(address, headers={"User-Agent": "ftcot"}), timeout=TIMEOUT) as response:
            content: bytes = response.read(MAX_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"cannot be downloaded ({error})", where=address) from None
    if len(content) > MAX_BYTES:
        raise DataError(f"has more than {MAX_BYTES} bytes", where=address)
    return content


def _not_as_published(source: Source, how: str) -> DataError:
    return DataError(
        f"is not as it was published: {how}",
        where=source.address,
        remedy="use a copy of yours with `ftcot data import`",
    )


def _each(convert: Callable[[Record], Converted]) -> Callable[[Sequence[Record]], list[Converted]]:
    return lambda rows: [convert(row) for row in rows]


def _with_shuffled_choices(rows: Sequence[Record]) -> list[Converted]:
    """Rows of date_understanding, shuffled as published, from seed 0: the right choice mostly comes first."""
    import numpy

    state = numpy.random.RandomState(0)
    return [from_bigbench_choice(row, state.permutation(len(row["target_scores"])).tolist()) for row in rows]


def _zero_shot_cot(path: str) -> str:
    return f"https://raw.githubusercontent.com/kojima-takeshi188/zero_shot_cot/main/dataset/{path}"


_TRAIN_AND_TEST = ("train", "test")

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "single_eq": Source(_zero_shot_cot("SingleEq/questions.json"), 508, _each(from_equation_problem)),
        "addsub": Source(_zero_shot_cot("AddSub/AddSub.json"), 395, _each(from_equation_problem)),
        "multiarith": Source(_zero_shot_cot("MultiArith/MultiArith.json"), 600, _each(from_multiarith)),
        "svamp": Source(_zero_shot_cot("SVAMP/SVAMP.json"), 1000, _each(from_svamp)),
        "gsm8k": Source("openai/gsm8k:main", 8792, _each(from_gsm8k), _TRAIN_AND_TEST),
        "aqua": Source("deepmind/aqua_rat:raw", 97721, _each(from_aqua), _TRAIN_AND_TEST),
        "commonsense_qa": Source(
            "tau/commonsense_qa", 10962, _each(from_commonsense_qa), ("train", "validation")
        ),
        "strategy_qa": Source(_zero_shot_cot("StrategyQA/task.json"), 2290, _each(from_strategy_qa)),
        "date_understanding": Source(_zero_shot_cot("Bigbench_Date/task.json"), 369, _with_shuffled_choices),
        "tracking_shuffled_objects": Source(
            _zero_shot_cot("Bigbench_object_tracking/task.json"), 750, _each(from_bigbench_choice)
        ),
        "coin_flip": Source(_zero_shot_cot("coin_flip/coin_flip.json"), 500, _each(from_question_and_answer)),
        "last_letter_concatenation": Source(
            _zero_shot_cot("last_letters/last_letters.json"), 500, _each(from_question_and_answer)
        ),
    }
)
"""The 12 published data sets; many others give out the same samples, but in another order."""
