"""What the pages take for given, made up: data, models of the hub and the embedded one, a server."""

import json
import pickle
import re
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.glue_files import write_glue, write_rows
from tests.loopback import Asked, Reply, reply_of
from tests.loopback_platform import Platform, loopback_platform
from tests.tiny_models import write_gpt2, write_llama, write_t5

HUB_MODELS: dict[str, Callable[[Path], Path]] = {
    "openai-community/gpt2": write_gpt2,
    "google/flan-t5-small": write_t5,
    "google/gemma-2b": write_llama,
}
"""Models that pages name, by what stands for them: tiny ones with random weights in the hub's cache."""
SOURCES = ("differences", "last_letters", "spelled_sums", "stories", "sums", "wrong_sums")


def write_models(hub: Path, cache: Path) -> None:
    """The hub's cache, and a cache in which a tiny model with random weights is the embedded one."""
    from finetune_cot.models.embedded import FORMAT_VERSION, find_packaged_gguf, sha256_file

    for name, write in HUB_MODELS.items():
        folder = hub / f"models--{name.replace('/', '--')}"
        write(folder / "snapshots" / "made-up")
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("made-up")
    gguf = find_packaged_gguf()
    embedded = write_llama(cache / f"{gguf.stem}-{sha256_file(gguf)[:16]}-v{FORMAT_VERSION}", hidden_size=64)
    config = json.loads((embedded / "config.json").read_text())
    _write(embedded / "config.json", config | {"max_position_embeddings": 4096})  # few-shot prompts are long


def write_files(folder: Path) -> None:
    """All files that a page names and does not make."""
    rows = [sum_row(number) for number in range(16)]
    completions = {"data": {str(row["sample_index"]): [_completion(row)] for row in rows}}
    teacher = folder / "saved" / "completion_data" / "B_text-davinci-002__C_zs_cot"
    for key in ("gsm8k", "multiarith"):
        _write(folder / "data" / "dataset" / f"{key}.json", {"metadata": {"dataset_key": key}, "data": rows})
        split = {"train": list(range(10)), "test": list(range(10, 16))}
        _write(folder / "data" / "split" / f"{key}__default.json", split)
        _write(teacher / f"D_{key}.json", completions)
    with tarfile.open(folder / "ARCHIVE.tar.gz", "w:gz") as archive:
        archive.add(teacher.parent, "completion_data")
    write_glue(folder / "data", ("sst2", "rte", "mnli"))
    mismatched = folder / "data" / "glue" / "mnli" / "validation_mismatched.jsonl"
    mismatched.write_bytes(mismatched.with_name("validation.jsonl").read_bytes())
    _write_sources(folder / "rows.jsonl", SOURCES)
    _write_sources(folder / "my_rows.jsonl", [f"source_{number}" for number in range(12)])
    alpaca = [{"instruction": row["question"], "input": "", "output": row["answer"]} for row in rows]
    (folder / "alpaca_final.pkl").write_bytes(pickle.dumps(alpaca))
    cells = (f'"{row["question"]}",{row["answer"]},"{row["rationale"]}"' for row in rows)
    (folder / "fruit.csv").write_text("\n".join(["question,answer,rationale", *cells]))
    (folder / "options.yaml").write_text("dataset-key: bundled_small_addition\ndownsample: 0.1\n")


def sum_row(number: int) -> dict[str, Any]:
    """A question that `answer` can answer."""
    first, second = number % 5 + 1, number % 7 + 2
    question = f"Ann has {first} pears and buys {second} more. How many pears has she?"
    total = str(first + second)
    rationale = f"{first} + {second} = {total}."
    return {"sample_index": number, "question": question, "answer": total, "rationale": rationale}


def answer(asked: Asked) -> Reply:
    """The right answer to the question of `sum_row` that was asked last."""
    *_, (first, second) = re.findall(r"Ann has (\d+) pears and buys (\d+) more", asked.text)
    return 200, reply_of(asked, f" {int(first) + int(second)} pears.")


@contextmanager
def server() -> Iterator[Platform]:
    """A server with chat, completions, batches and jobs, whose batches are soon done."""
    over = threading.Event()

    def finish_batches(platform: Platform) -> None:
        while not over.wait(0.1):
            platform.finish()

    with loopback_platform() as platform:
        platform.answer = answer
        thread = threading.Thread(target=finish_batches, args=(platform,))
        thread.start()
        try:
            yield platform
        finally:
            over.set()
            thread.join()


def _completion(row: dict[str, Any]) -> dict[str, Any]:
    asked = f"Q: {row['question']}\nA: Let's think step by step."
    return {
        **{key: row[key] for key in ("sample_index", "question", "answer")},
        "completion_index": 0,
        "reasoning_prompt": asked,
        "reasoning_completion": f" {row['rationale']}",
        "prompt": f"{asked} {row['rationale']}\nTherefore, the answer is",
        "completion": f" {row['answer']}.",
    }


def _write_sources(path: Path, sources: Sequence[str]) -> None:
    """Ten rows of each source, each in one of two categories."""
    rows = [(source, number, sum_row(number)) for source in sources for number in range(10)]
    columns = ("prompt", "completion", "skill", "category")
    cells = [(row["question"], row["answer"], source, "ab"[number % 2]) for source, number, row in rows]
    write_rows(path, [dict(zip(columns, of_row, strict=True)) for of_row in cells])


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
