"""Gets GLUE's tasks from the Hugging Face hub into the data folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from finetune_cot.errors import DataError
from finetune_cot.tasks.fetching import FetchReport
from finetune_cot.tasks.glue import GLUE, HUB, glue_folder, glue_samples
from finetune_cot.tasks.hub import load_hub_rows
from finetune_cot.tasks.tables import Row
from finetune_cot.tasks.text_files import refuse_other, store_text

SIZES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "cola": (8551, 1043),
        "sst2": (67349, 872),
        "mrpc": (3668, 408),
        "qqp": (363846, 40430),
        "stsb": (5749, 1500),
        "mnli": (392702, 9815, 9832),
        "qnli": (104743, 5463),
        "rte": (2490, 277),
        "wnli": (635, 71),
    }
)
"""Samples of each part: training, validation, and MNLI's mismatched validation part."""


def fetch_glue(
    task: str, data_dir: Path, *, overwrite: bool = False, sizes: tuple[int, ...] | None = None
) -> FetchReport:
    """Download a task of GLUE into ``<data_dir>/glue/<task>/``, a file of rows for each part.

    Args:
        task: The task.
        data_dir: The data folder.
        overwrite: Whether other files of these names may be replaced.
        sizes: Samples that its parts have; by default as published.

    Raises:
        DataError: it cannot be reached or is not as it was published, or another file of a name is there and
            ``overwrite`` is false.
        ArtifactError: the data folder cannot be written to.
    """
    source, folder = f"{HUB}:{task}", glue_folder(task, data_dir)
    texts, samples = {}, 0
    for (part, split), size in zip(GLUE[task].parts.items(), sizes or SIZES[task], strict=True):
        rows = load_hub_rows(source, split)
        glue_samples(task, [Row(row, f"{source}, {split}, row {number}") for number, row in enumerate(rows)])
        if len(rows) != size:
            raise DataError(
                f"is not as it was published: it has {len(rows)} samples, not {size}",
                where=f"{source}, {split}",
                remedy=f"put files of yours into {folder}",
            )
        columns = (*GLUE[task].columns, "label", "idx")
        lines = [{name: row[name] for name in columns if name in row} for row in rows]
        texts[folder / f"{part}.jsonl"] = "".join(
            json.dumps(line, ensure_ascii=False) + "\n" for line in lines
        )
        samples += size
    for path, text in texts.items():
        if not overwrite:
            refuse_other(path, text)
    written = [store_text(path, text, overwrite) for path, text in texts.items()]
    return FetchReport(f"glue/{task}", folder, any(written), samples, source)
