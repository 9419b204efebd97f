"""``ftcot build-finetune-data``: the published numbers, every filter, and every form spelled out."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_cot.artifacts.completions import Completion, open_completions
from finetune_cot.artifacts.finetune_data import read_finetune_json
from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.artifacts.manifest import read_manifest, sidecar, start
from finetune_cot.cli.main import main
from finetune_cot.config.build_finetune_data import BuildFinetuneDataConfig
from finetune_cot.errors import ArtifactError, DataError, UsageError
from finetune_cot.pipeline.build_finetune_data import BuildFinetuneDataResult, build_finetune_data
from finetune_cot.pipeline.finetune_rows import rationale_of
from finetune_cot.tasks.reasoning import dataset_path

PLATFORMS = ("custom", "openai", "openai-chat")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data set of eight sums, of which all but 2 and 6 are trained on."""
    folder = tmp_path / "data"
    rows = [
        {"sample_index": index, "question": f"What is {index} + 1?", "answer": str(index + 1)}
        for index in range(8)
    ]
    path = dataset_path("sums", folder)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"metadata": {}, "data": rows}))
    (folder / "split").mkdir()
    split = {"train": [0, 1, 3, 4, 5, 7], "test": [2, 6]}
    (folder / "split" / "sums__default.json").write_text(json.dumps(split))
    return folder


def completion(sample: int, index: int = 0, **changed: Any) -> Completion:
    prompt = f"Q: What is {sample} + 1?\nA: Let's think step by step."
    values: dict[str, Any] = {
        "sample_index": sample,
        "completion_index": index,
        "question": f"What is {sample} + 1?",
        "answer": str(sample + 1),
        "prompt": f"{prompt} ...\nTherefore, the answer is",
        "completion": f" {sample + 1}.",
        "reasoning_prompt": prompt,
        "reasoning_completion": f"\n\nAfter {sample} comes {sample + 1}, way {index}. ",
        "finish_reason": "stop",
        "reasoning_finish_reason": "stop",
    }
    return Completion(**(values | changed))


def teach(saved: Path, *completions: Completion, key: str = "zs_cot") -> None:
    with open_completions(CompletionId("davinci", key, "sums").path(saved), {}, (), "teach") as store:
        store.append(completions)
        store.finish(start("teach", {}).manifest())


def build(saved: Path, data_dir: Path, **options: Any) -> BuildFinetuneDataResult:
    given = {"model_key": "davinci", "dataset_key": "sums", **options}
    return build_finetune_data(BuildFinetuneDataConfig(saved_dir=saved, data_dir=data_dir, **given))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("key", "samples", "incorrect", "outside"),
    [
        ("multiarith", 332, 88, 180),
        ("addsub", 197, 79, 119),
        ("coin_flip", 320, 30, 150),
        ("date_understanding", 176, 82, 111),
    ],
)
def test_the_published_completions(
    saved_dir: Path, shared_data: Path, key: str, samples: int, incorrect: int, outside: int
) -> None:
    shutil.copytree(shared_data / "completion_data", saved_dir / "completion_data")
    result = build(saved_dir, shared_data, model_key="text-davinci-002", dataset_key=key)
    assert (result.samples, result.questions) == (samples, samples)
    assert (result.rejected_incorrect, result.outside_split) == (incorrect, outside)
    assert result.samples + result.rejected_incorrect + result.outside_split == result.considered
    assert result.unknown_completeness == samples
    assert result.other_wording == (samples if key == "date_understanding" else 0)
    assert files(saved_dir / "finetune_data") == [
        f"P_custom/F_zs_cot_{key}.json",
        f"P_openai-chat/F_zs_cot_{key}.jsonl",
        f"P_openai-chat/F_zs_cot_{key}.jsonl.manifest.json",
        f"P_openai/F_zs_cot_{key}.jsonl",
        f"P_openai/F_zs_cot_{key}.jsonl.manifest.json",
    ]


def test_published_dates_keep_the_words_that_the_teacher_saw(saved_dir: Path, shared_data: Path) -> None:
    shutil.copytree(shared_data / "completion_data", saved_dir / "completion_data")
    result = build(saved_dir, shared_data, model_key="text-davinci-002", dataset_key="date_understanding")
    assert all("Answer Choices: (A)" in row.question for row in read_finetune_json(result.path).rows)


def test_each_completion_is_counted_under_one_reason(saved_dir: Path, data_dir: Path) -> None:
    rationale = "One more. "
    teach(
        saved_dir,
        completion(0),
        completion(0, 1),
        completion(0, 2, reasoning_completion="After 0  comes 1,\nway 0."),  # that of completion 0 again
        completion(0, 3),
        completion(1, completion=" 7."),
        completion(1, 1, completion=" none"),
        completion(1, 2, reasoning_finish_reason="length"),
        completion(1, 3, finish_reason="length", reasoning_completion=rationale),
        completion(2),
        completion(3, answer="three"),
        completion(4, reasoning_completion=" \n"),
        completion(5, reasoning_finish_reason=None),
        completion(77),
    )
    result = build(saved_dir, data_dir, num_completions=3)
    counts = {
        "samples": 3,
        "questions": 2,
        "considered": 13,
        "outside_split": 2,
        "beyond_num_completions": 2,
        "ungradable": 1,
        "rejected_incorrect": 2,
        "rejected_incomplete": 1,
        "without_rationale": 1,
        "duplicates": 1,
        "unknown_completeness": 1,
        "questions_without_completion": 1,
    }
    assert {name: getattr(result, name) for name in counts} == counts
    rows = read_finetune_json(result.path).rows
    assert [(row.sample_index, row.completion_index, row.reasoning) for row in rows] == [
        (0, 0, "After 0 comes 1, way 0."),
        (0, 1, "After 0 comes 1, way 1."),
        (5, 0, "After 5 comes 6, way 0."),
    ]
    metadata = read_finetune_json(result.path).metadata
    assert (metadata["teacher"], metadata["rationales_per_question"]) == ("davinci", 3)
    assert metadata["counts"]["rejected_incorrect"] == 2
    everything = build(
        saved_dir,
        data_dir,
        finetune_key="all",
        split="all",
        only_correct=False,
        only_complete=False,
        deduplicate=False,
    )
    assert (everything.samples, everything.outside_split, everything.without_rationale) == (11, 1, 1)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.integers(0, 4),
            st.sampled_from(["right", "wrong"]),
            st.sampled_from(["stop", "length", None]),
            st.sampled_from(["", "one way", "another way"]),
        ),
        min_size=1,
        unique_by=lambda item: item[:2],
    )
)
def test_counts_add_up_and_what_is_kept_passes_every_filter(
    tmp_path: Path, data_dir: Path, drawn: list[tuple[int, int, str, str | None, str]]
) -> None:
    saved = tmp_path / "saved"
    shutil.rmtree(saved, ignore_errors=True)
    made = [
        completion(
            sample,
            index,
            completion=str(sample + 1 if right == "right" else sample),
            reasoning_finish_reason=reason,
            reasoning_completion=way,
        )
        for sample, index, right, reason, way in drawn
    ]
    teach(saved, *made)
    wanted = {
        (sample, way)
        for sample, _, right, reason, way in drawn
        if sample in (0, 1, 3, 4, 5, 7) and right == "right" and reason != "length" and way
    }
    try:
        result = build(saved, data_dir, platform=("custom",))
    except DataError:
        assert not wanted
        return
    rows = read_finetune_json(result.path).rows
    assert {(row.sample_index, row.reasoning) for row in rows} == wanted
    assert len(rows) == len(wanted) == result.samples
    left_out = (
        result.outside_split
        + result.rejected_incorrect
        + result.rejected_incomplete
        + result.without_rationale
        + result.duplicates
    )
    assert result.samples + left_out == result.considered == len(drawn)


def test_the_forms_spelled_out(saved_dir: Path, data_dir: Path) -> None:
    teach(saved_dir, completion(3))
    token = build(saved_dir, data_dir)
    assert [json.loads(line) for line in token.paths["openai"].read_text().splitlines()] == [
        {"prompt": "What is 3 + 1? ###", "completion": " After 3 comes 4, way 0. --> 4 END"}
    ]
    assert [json.loads(line) for line in token.paths["openai-chat"].read_text().splitlines()] == [
        {
            "messages": [
                {"role": "user", "content": "What is 3 + 1?"},
                {"role": "assistant", "content": "After 3 comes 4, way 0. --> 4"},
            ]
        }
    ]
    assert read_manifest(sidecar(token.paths["openai"])).inputs.keys() == {
        str(dataset_path("sums", data_dir)),
        str(CompletionId("davinci", "zs_cot", "sums").path(saved_dir)),
    }
    natural = build(saved_dir, data_dir, template="natural", finetune_key="natural", platform=("openai",))
    assert natural.path == natural.paths["openai"]
    assert json.loads(natural.path.read_text()) == {
        "prompt": "Q: What is 3 + 1?\n\nA: Let's think step by step.\n\n",
        "completion": " After 3 comes 4, way 0.\n\nTherefore the answer is 4 END",
    }


def test_answers_alone_need_no_teacher(saved_dir: Path, data_dir: Path) -> None:
    result = build(saved_dir, data_dir, preset_key="ft", model_key="whoever")
    assert result.finetune_key == "ft_sums"
    assert (result.samples, result.questions, result.outside_split, result.considered) == (6, 6, 2, 8)
    data = read_finetune_json(result.path)
    assert next((row.question, row.reasoning, row.answer) for row in data.rows) == (
        "What is 0 + 1?",
        None,
        "1",
    )
    assert (data.metadata["teacher"], data.metadata["rationales_per_question"]) == (None, None)
    first = result.paths["openai"].read_text().splitlines()[0]
    assert json.loads(first) == {"prompt": "What is 0 + 1? ###", "completion": " 1 END"}
    tested = build(saved_dir, data_dir, preset_key="ft", split="test", finetune_key="tested")
    assert [row.sample_index for row in read_finetune_json(tested.path).rows] == [2, 6]


def test_presets_take_the_first_completions(saved_dir: Path, data_dir: Path) -> None:
    teach(saved_dir, *(completion(1, index) for index in range(3)), completion(3))
    teach(saved_dir, *(completion(1, index) for index in range(5)), completion(3), key="zs_cot_t70")
    one = build(saved_dir, data_dir, preset_key="ft_cot")
    assert (one.finetune_key, one.samples, one.beyond_num_completions) == ("ft_cot_sums", 2, 2)
    four = build(saved_dir, data_dir, preset_key="ft_cot_t70_4aug")
    assert (four.finetune_key, four.samples) == ("ft_cot_t70_4aug_sums", 5)
    assert read_finetune_json(four.path).metadata["rationales_per_question"] == 4
    with pytest.raises(ArtifactError, match="holds at most 5 completions of a question, not 8; `ftcot teach"):
        build(saved_dir, data_dir, preset_key="ft_cot_t70_8aug")
    with pytest.raises(UsageError, match="there is no preset 'ft_cots'"):
        build(saved_dir, data_dir, preset_key="ft_cots")
    with pytest.raises(UsageError, match="ft_cot_t70_4aug means 4 completions, not 2"):
        build(saved_dir, data_dir, preset_key="ft_cot_t70_4aug", num_completions=2)


def test_one_step_rationales_end_where_the_answer_begins(saved_dir: Path, data_dir: Path) -> None:
    step = {"reasoning_prompt": None, "reasoning_completion": None, "reasoning_finish_reason": None}
    teach(
        saved_dir,
        completion(0, completion=" None and one. The answer is 1.", **step),
        completion(1, completion=" The answer is 2.", **step),
        completion(3, completion=" Cut off: 4", finish_reason="length", **step),
        key="fs_cot",
    )
    result = build(saved_dir, data_dir, completion_key="fs_cot")
    (row,) = read_finetune_json(result.path).rows
    assert row.reasoning == "None and one."
    assert (result.without_rationale, result.rejected_incomplete) == (1, 1)
    student = completion(0, completion=" One. --> 1", **step)
    assert rationale_of(student, "ft_cot_token") == "One."
    assert rationale_of(student, "zs") is None


def test_answers_of_a_model_without_rationales(saved_dir: Path, data_dir: Path) -> None:
    step = {"reasoning_prompt": None, "reasoning_completion": None}
    teach(saved_dir, completion(0, **step), completion(0, 1, **step), completion(1, **step), key="zs")
    result = build(saved_dir, data_dir, completion_key="zs")
    assert (result.samples, result.duplicates) == (2, 1)
    assert read_finetune_json(result.path).metadata["template"] == "ft_token"


def test_nothing_is_written_twice_and_nothing_different_replaced(saved_dir: Path, data_dir: Path) -> None:
    teach(saved_dir, completion(0), completion(1))
    first = build(saved_dir, data_dir)
    assert len(first.written) == 3
    before = {name: (saved_dir / name).read_bytes() for name in files(saved_dir)}
    assert build(saved_dir, data_dir).written == ()
    teach(saved_dir, completion(3))
    with pytest.raises(ArtifactError, match="other training data of this name is there; use --overwrite"):
        build(saved_dir, data_dir)
    now = {
        name: (saved_dir / name).read_bytes()
        for name in files(saved_dir / "finetune_data")
        if (saved_dir / name).exists()
    }
    assert all(before[name] == content for name, content in now.items())
    assert build(saved_dir, data_dir, overwrite=True).samples == 3


def test_one_different_form_and_none_is_written(saved_dir: Path, data_dir: Path) -> None:
    teach(saved_dir, completion(0))
    path = build(saved_dir, data_dir, platform=("openai-chat",)).path
    path.write_text("{}\n")
    with pytest.raises(ArtifactError, match=r"P_openai-chat/F_zs_cot_sums\.jsonl: other training data"):
        build(saved_dir, data_dir)
    assert not (saved_dir / "finetune_data" / "P_custom").exists()
    assert not (saved_dir / "finetune_data" / "P_openai").exists()


def test_a_disk_that_is_full_midway_leaves_saved_as_it_was(
    saved_dir: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(saved_dir, completion(0))
    before = sorted(saved_dir.rglob("*"))
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if "openai-chat" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ArtifactError, match=r"P_openai-chat.*cannot be written: No space left on device"):
        build(saved_dir, data_dir)
    assert sorted(saved_dir.rglob("*")) == before


def test_a_dry_run_counts_and_writes_nothing(saved_dir: Path, data_dir: Path) -> None:
    teach(saved_dir, completion(0), completion(1, completion="no"))
    before = files(saved_dir)
    result = build(saved_dir, data_dir, dry_run=True)
    assert (result.samples, result.rejected_incorrect, result.written) == (1, 1, ())
    assert files(saved_dir) == before


def test_completions_under_way_are_used(saved_dir: Path, data_dir: Path) -> None:
    with open_completions(
        CompletionId("davinci", "zs_cot", "sums").path(saved_dir), {}, (), "teach"
    ) as store:
        store.append([completion(0)])
    assert build(saved_dir, data_dir).samples == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--dataset-key", "sum"], 2, "did you mean sums"),
        (["--dataset-key", "../sums"], 2, "path separator"),
        (["--data-dir", "nowhere"], 2, "nowhere: there is no data set 'sums'"),
        (["--data-dir", "nowhere", "--dataset-key", "gsm8k"], 1, "nowhere: there is no data folder"),
        (["--model-key", "other"], 1, "B_other__C_zs_cot/D_sums.json: there are no such completions"),
        (["--completion-key", "zs_cots"], 2, "zs_cots"),
        (["--preset-key", "ft_cot_t70_65aug"], 2, "there is no preset"),
        (["--num-completions", "0"], 2, "must be above 0"),
        (["--finetune-key", "a/b"], 2, "path separator"),
        (["--split-key", "template"], 1, "sums has no split 'template'"),
        (["--split", "test"], 1, "nothing is left to train on: 2 looked at, 2 outside split"),
        ([], 1, "nothing is left to train on: 2 looked at, 1 ungradable, 1 rejected incorrect"),
        (["--platform", "anthropic"], 2, "'anthropic' is not one of custom, openai, openai-chat"),
    ],
)
def test_one_clear_line_and_saved_as_it_was(
    saved_dir: Path,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(saved_dir.parent)
    teach(saved_dir, completion(0, completion=" 5"), completion(1, answer="?"))
    before = files(saved_dir)
    given = ["--model-key", "davinci", "--dataset-key", "sums", "--data-dir", "data", *arguments]
    assert main(["build-finetune-data", *given]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err.splitlines()[-1]
    assert shown.err.splitlines()[-1].startswith("ftcot: ")
    assert files(saved_dir) == before
    assert not (saved_dir / "finetune_data").exists()


def test_half_a_completion_file_is_named(saved_dir: Path, data_dir: Path) -> None:
    teach(saved_dir, completion(0))
    path = CompletionId("davinci", "zs_cot", "sums").path(saved_dir)
    path.write_text(path.read_text()[:200])
    with pytest.raises(ArtifactError, match=r"D_sums\.json, line \d+, column \d+: is torn or no JSON"):
        build(saved_dir, data_dir)
