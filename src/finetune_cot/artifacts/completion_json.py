"""Writing the JSON of a completion file, whose completions need not be in memory at once."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO


def write_by_sample(
    file: BinaryIO,
    metadata: Mapping[str, Any],
    keys: Iterable[tuple[int, int]],
    record: Callable[[tuple[int, int]], dict[str, Any]],
) -> None:
    """Write JSON with one sample a line, so that a difference between two files can be read.

    Args:
        file: Where it is written.
        metadata: What the file says of itself; its checksum is added.
        keys: Sample and completion index of each completion.
        record: Gives the completion of a key as the file holds it.
    """
    by_sample: dict[int, list[tuple[int, int]]] = {}
    for key in sorted(keys):
        by_sample.setdefault(key[0], []).append(key)

    def records(sample_index: int) -> list[dict[str, Any]]:
        return [record(key) for key in by_sample[sample_index]]

    head = {**metadata, "sha256": _digest(metadata, by_sample, records)}
    file.write(f'{{"metadata": {json.dumps(head, ensure_ascii=False, indent=1)},\n"data": {{\n'.encode())
    for number, sample_index in enumerate(by_sample):
        line = f'"{sample_index}": {json.dumps(records(sample_index), ensure_ascii=False)}'
        file.write((",\n" * bool(number) + line).encode())
    file.write(b"\n}}\n")


def _digest(
    metadata: Mapping[str, Any], samples: Iterable[int], records: Callable[[int], list[dict[str, Any]]]
) -> str:
    """What `sha256_json` gives for metadata and data, which need not be in memory at once."""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    digest = hashlib.sha256(f"[{text(metadata)},{{".encode())
    for number, sample_index in enumerate(sorted(samples, key=str)):
        digest.update(f'{"," * bool(number)}"{sample_index}":{text(records(sample_index))}'.encode())
    digest.update(b"}]")
    return digest.hexdigest()
