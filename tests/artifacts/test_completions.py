"""Completion files: published ones as they are, our own through a journal that survives a kill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_cot.artifacts import completions as module
from finetune_cot.artifacts.completions import (
    Completion,
    CompletionStore,
    journal_path,
    open_completions,
    read_completions,
    to_record,
)
from finetune_cot.artifacts.manifest import Manifest, start
from finetune_cot.errors import ArtifactError

METADATA = {"base_model": "tiny", "prediction_template": "zs_cot", "temperature": 0.0}
IDENTITY = ("base_model", "prediction_template", "temperature")


def completion(sample: int, index: int = 0, text: str = "4", **more: Any) -> Completion:
    return Completion(sample, index, f"Question {sample}?", "4", f"Q: Question {sample}?\nA:", text, **more)


def manifest() -> Manifest:
    return start("teach", {"seed": 0}).manifest()


def write(path: Path, *new: Completion, finish: bool = True, **changed: Any) -> CompletionStore:
    metadata = METADATA | changed
    with open_completions(path, metadata, IDENTITY, "teach") as store:
        store.append(new)
        if finish:
            store.finish(manifest())
    return store


def edit(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COMPLETIONS = st.builds(
    Completion,
    st.integers(0, 99_999),
    st.integers(0, 63),
    *(TEXTS for _ in range(4)),
    reasoning_prompt=st.none() | TEXTS,
    reasoning_completion=st.none() | TEXTS,
    finish_reason=st.none() | st.sampled_from(["stop", "length"]),
    reasoning_finish_reason=st.none() | st.sampled_from(["stop", "length"]),
    extra=st.dictionaries(st.sampled_from(["tokens", "logged_answer"]), st.integers() | TEXTS),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(COMPLETIONS, min_size=1, max_size=5, unique_by=lambda item: item.key), st.integers(0, 5))
def test_what_was_written_is_read_whether_finished_or_not(
    tmp_path: Path, items: list[Completion], first: int
) -> None:
    path = tmp_path / "D_x.json"
    expected = tuple(sorted(items, key=lambda item: item.key))
    write(path, *items[:first], finish=False)
    write(path, *items[first:], finish=False)
    assert read_completions(path).completions == expected
    write(path)
    assert not journal_path(path).exists()
    assert read_completions(path).completions == expected
    assert {name: read_completions(path).metadata[name] for name in METADATA} == METADATA
    path.unlink()


def test_the_file_spelled_out(tmp_path: Path) -> None:
    path = tmp_path / "D_x.json"
    write(path, completion(2, extra={"tokens": 3}), completion(0, 1), completion(0, 0, finish_reason="stop"))
    content = json.loads(path.read_text())
    assert list(content["data"]) == ["0", "2"]
    assert content["data"]["0"][0] == {
        "sample_index": 0,
        "completion_index": 0,
        "question": "Question 0?",
        "answer": "4",
        "prompt": "Q: Question 0?\nA:",
        "completion": "4",
        "finish_reason": "stop",
    }
    assert content["data"]["2"][0]["tokens"] == 3
    assert content["metadata"]["manifest"]["command"] == "teach"
    assert len([line for line in path.read_text().splitlines() if line.startswith('"')]) == 3


def test_adding_keeps_what_is_there_and_names_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "D_x.json"
    write(path, completion(0), completion(1))
    with open_completions(path, METADATA, IDENTITY, "teach") as store:
        assert store.completions.keys() == {(0, 0), (1, 0)}
        store.append([completion(0, 1)])
        assert store.completions.keys() == {(0, 0), (1, 0), (0, 1)}
        store.finish(manifest())
    assert [item.key for item in read_completions(path).completions] == [(0, 0), (0, 1), (1, 0)]


def test_finishing_with_nothing_new_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "D_x.json"
    write(path, completion(0))
    before = path.read_bytes()
    write(path)
    write(path, completion(0))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["D_x.json"]


def test_a_kill_between_the_file_and_the_end_of_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "D_x.json"
    write(path, completion(0), finish=False)
    journal = journal_path(path).read_bytes()
    write(path)
    finished = path.read_bytes()
    journal_path(path).write_bytes(journal)
    assert len(read_completions(path).completions) == 1
    write(path)
    assert path.read_bytes() == finished
    assert not journal_path(path).exists()


def test_lost_tokens_are_summed_up_and_never_counted_twice(tmp_path: Path) -> None:
    path = tmp_path / "D_x.json"
    for number, sum_so_far in enumerate(({"prompt": 3}, {"prompt": 6}, {"prompt": 9})):
        with open_completions(path, METADATA, IDENTITY, "teach") as store:
            store.append([completion(number)], {"prompt": 3})
            journal = journal_path(path).read_bytes()
            if number:  # the first run is killed before it has written the file
                store.finish(manifest())
        assert read_completions(path).metadata["lost_tokens"] == sum_so_far
    journal_path(path).write_bytes(journal)  # as after a kill before the journal was removed
    assert read_completions(path).metadata["lost_tokens"] == {"prompt": 9}
    write(path)
    content = read_completions(path)
    assert (content.metadata["lost_tokens"], len(content.completions)) == ({"prompt": 9}, 3)


def test_a_completion_that_is_added_again_in_a_journal_replaces_the_first(tmp_path: Path) -> None:
    path = tmp_path / "D_x.json"
    for text in ("4", "5"):
        write(path, completion(0, text=text), finish=False)
    assert [item.completion for item in read_completions(path).completions] == ["5"]
    write(path)
    assert [item.completion for item in read_completions(path).completions] == ["5"]


def test_a_killed_run_loses_at_most_what_is_in_flight(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from finetune_cot.artifacts.completions import Completion, open_completions
with open_completions(Path(sys.argv[1]), {}, (), "teach") as store:
    for number in range(100_000):
        store.append([Completion(number, 0, "Q?", "4", "Q: Q?", "x" * 300)])
        print(number, flush=True)
"""
    path = tmp_path / "D_x.json"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if int(line) == 20:
                run.send_signal(signal.SIGKILL)
        told = 20
    kept = [item.sample_index for item in read_completions(path).completions]
    assert kept == list(range(len(kept)))
    assert len(kept) > told
    write(path, *(completion(number) for number in range(len(kept), len(kept) + 2)))
    assert len(read_completions(path).completions) == len(kept) + 2


def test_a_second_run_on_the_same_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "D_x.json"
    with (
        open_completions(path, METADATA, IDENTITY, "teach"),
        pytest.raises(ArtifactError, match=rf"in use by `ftcot teach` \(process {os.getpid()}"),
        open_completions(path, METADATA, IDENTITY, "teach"),
    ):
        pass


@pytest.mark.parametrize("finish", [True, False])
def test_completions_made_in_another_way_are_not_mixed(tmp_path: Path, finish: bool) -> None:
    path = tmp_path / "D_x.json"
    write(path, completion(0), finish=finish)
    with pytest.raises(ArtifactError, match=r"was made with temperature 0\.0, not 0\.7; use the options"):
        write(path, completion(1), temperature=0.7)
    assert len(read_completions(path).completions) == 1


def test_a_full_disk_while_finishing_keeps_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "D_x.json"
    write(path, completion(0), finish=False)

    def full(path: Path) -> None:
        raise ArtifactError("cannot be written: No space left on device", where=path)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_file_atomic", full)
        with pytest.raises(ArtifactError, match="No space left"):
            write(path)
    assert len(read_completions(path).completions) == 1
    write(path)
    assert path.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["data"]["0"][0].update(completion="5"),
        lambda content: content["data"].pop("1"),
        lambda content: content["metadata"].update(temperature=0.7),
        lambda content: content["metadata"]["manifest"].update(seed=1),
    ],
)
def test_an_edit_is_named(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "D_x.json"
    write(path, completion(0), completion(1))
    edit(path, change)
    with pytest.raises(ArtifactError, match=r"D_x\.json: was edited or is torn.*remove `sha256`"):
        read_completions(path)
    edit(path, lambda content: content["metadata"].pop("sha256"))
    assert read_completions(path).completions


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"metadata": {}, "data": {"0": [{"sample_', "is torn or no JSON"),
        ('{"metadata": {}, "data": []}', "has no `data` by sample index"),
        ('{"metadata": [], "data": {}}', "has no `data` by sample index"),
        ("[]", "has no `data`"),
        ('{"data": {"0": 5}}', "sample 0: is no list of completions"),
        ('{"data": {"0": [5]}}', "sample 0, completion 0: is no completion"),
        ('{"data": {"0": [{"sample_index": 0}]}}', "completion 0: its 'question' is missing"),
        ('{"data": {"0": [{"sample_index": "0"}]}}', "its 'sample_index' is missing or of the wrong type"),
    ],
)
def test_other_content_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "D_x.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=message):
        read_completions(path)


def test_completions_without_numbers_are_counted_and_repeats_refused(tmp_path: Path) -> None:
    path = tmp_path / "D_x.json"
    records = [to_record(completion(7, text=text)) for text in ("one", "two")]
    for record in records:
        del record["completion_index"]
    path.write_text(json.dumps({"data": {"7": records}}))
    assert [(item.key, item.completion) for item in read_completions(path).completions] == [
        ((7, 0), "one"),
        ((7, 1), "two"),
    ]
    records[1]["completion_index"] = 0
    path.write_text(json.dumps({"data": {"7": records}}))
    with pytest.raises(ArtifactError, match="sample 7, completion 1: has the indices of an earlier"):
        read_completions(path)


def test_a_field_of_the_wrong_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "D_x.json"
    path.write_text(json.dumps({"data": {"0": [to_record(completion(0)) | {"finish_reason": 3}]}}))
    with pytest.raises(ArtifactError, match="its 'finish_reason' is no text"):
        read_completions(path)


def test_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there are no such completions; `ftcot teach`"):
        read_completions(tmp_path / "D_x.json")


def test_the_published_files(shared_data: Path) -> None:
    folder = shared_data / "completion_data" / "B_text-davinci-002__C_zs_cot"
    counts = {path.stem: len(read_completions(path).completions) for path in folder.glob("*.json")}
    assert counts == {"D_multiarith": 600, "D_addsub": 395, "D_coin_flip": 500, "D_date_understanding": 369}
    first = read_completions(folder / "D_multiarith.json").completions[0]
    assert first.key == (0, 0)
    assert first.finish_reason is None
    assert first.prompt.startswith(first.reasoning_prompt or "-")
    assert first.extra.keys() == {"logged_prediction", "logged_answer"}
