import json
import pickle
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.artifacts.completions import read_completions
from finetune_cot.errors import DataError, UsageError
from finetune_cot.tasks.importing import Columns, import_dataset
from finetune_cot.tasks.instruction import read_instruction_data
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import AnswerFormat

QA = [{"question": "1 + 1?", "answer": 2}, {"question": "Half?", "answer": 0.5, "rationale": "One by two."}]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_questions_and_answers(tmp_path: Path, data_dir: Path) -> None:
    source = lines(tmp_path / "sums.jsonl", QA)
    report = import_dataset(source, data_dir)
    assert (report.kind, report.samples, report.tasks) == ("reasoning", 2, ("sums",))
    assert report.written == (data_dir / "dataset" / "sums.json",)
    data = load_dataset("sums", data_dir)
    assert [(s.answer, s.rationale) for s in data.samples] == [("2", None), ("0.5", "One by two.")]
    assert data.answer_formats == {"sums": AnswerFormat("number", compare_as_float=True)}
    again = import_dataset(source, data_dir)
    assert (again.written, again.unchanged) == ((), report.written)


def test_columns_of_other_names_and_worked_answers(tmp_path: Path, data_dir: Path) -> None:
    (tmp_path / "a.csv").write_text('q,a,skill\n1 + 1?,"One. #### 2",add\nHeads?,yes,coins\n')
    columns = Columns(question="q", answer="a")
    report = import_dataset(tmp_path / "a.csv", data_dir, "mine", columns=columns)
    assert report.tasks == ("add", "coins")
    data = load_dataset("mine", data_dir)
    assert data.sample(0).rationale == "One."
    assert data.answer_formats["coins"] == AnswerFormat("yes_no")
    with pytest.raises(DataError, match=r"a\.csv, line 2: has no 'question'; --question-field"):
        import_dataset(tmp_path / "a.csv", data_dir, "other", "reasoning")


def test_a_data_set_of_the_layout_keeps_indices_and_metadata(tmp_path: Path, data_dir: Path) -> None:
    source = tmp_path / "mine.json"
    row = {"sample_index": 97, "question": "Which? (A) x (B) y", "answer": "A"}
    metadata = {"dataset_key": "aqua", "canary": "c"}
    source.write_text(json.dumps({"metadata": metadata, "data": [row]}))
    import_dataset(source, data_dir)
    data = load_dataset("mine", data_dir)
    assert data.sample(97).answer == "A"
    assert data.answer_formats == {"mine": AnswerFormat("choice", "ABCDE")}
    assert json.loads(Path(data.source).read_text())["metadata"]["canary"] == "c"


def test_instruction_data(tmp_path: Path, data_dir: Path) -> None:
    rows = [{"instruction": "a", "output": "1", "skill": "x"}, {"instruction": "b", "output": ""}]
    rows[1]["skill"] = "y"
    report = import_dataset(lines(tmp_path / "mine.jsonl", rows), data_dir)
    assert (report.kind, report.format, report.samples, len(report.left_out)) == (
        "instruction",
        "alpaca",
        1,
        1,
    )
    data = read_instruction_data(data_dir / "instruction" / "mine.jsonl")
    assert data.format == "messages"
    assert data.tasks == ("x",)


def test_an_alpaca_pickle(tmp_path: Path, data_dir: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rows = [{"instruction": "a", "input": "", "output": "1", "skill": "add"}]
    (tmp_path / "alpaca_final.pkl").write_bytes(pickle.dumps(pandas.DataFrame(rows, index=[34_778])))
    report = import_dataset(tmp_path / "alpaca_final.pkl", data_dir)
    assert (report.kind, report.samples) == ("alpaca-pickle", 1)
    data = read_instruction_data(data_dir / "instruction" / "alpaca_final.jsonl")
    assert [(item.sample_index, item.task) for item in data.examples] == [(34_778, "add")]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder of the published layout, made up."""
    root = tmp_path / "reasoning-teacher"
    sample = {"sample_index": 0, "question": "1 + 1?", "answer": "2"}
    record = {**sample, "completion_index": 0, "prompt": "Q: 1 + 1?", "completion": "2"}
    files = {
        "data/dataset/addsub.json": {"metadata": {}, "data": [sample]},
        "data/split/addsub__default.json": {"train": [0], "test": []},
        "data/few_shot_cot_prompts.json": {"addsub": {"prompt": "Q: a\nA: b"}},
        "saved/completion_data/B_t5__C_ft_cot/D_addsub__T_flan__E_003.json": {
            "metadata": {},
            "data": {"0": [record]},
        },
        "saved/other.json": {"no": "file of the layout"},
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(content))
    return root


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["folder", "tar.gz", "zip"])
def test_published_archives(tmp_path: Path, published: Path, data_dir: Path, kind: str) -> None:
    source = published
    if kind != "folder":
        name = shutil.make_archive(
            str(tmp_path / "archive"), "gztar" if kind == "tar.gz" else "zip", tmp_path, published.name
        )
        source = Path(name)
    saved = tmp_path / "saved"
    report = import_dataset(source, data_dir, saved_dir=saved)
    assert (report.kind, report.samples, report.completions) == ("reasoning-teacher", 1, 1)
    assert tree(data_dir) == [
        "dataset/addsub.json",
        "few_shot_cot_prompts.json",
        "split/addsub__default.json",
    ]
    assert tree(saved) == ["completion_data/B_t5__C_ft_cot/T_flan__D_addsub__E_003.json"]
    assert len(read_completions(saved / tree(saved)[0]).completions) == 1
    assert len(import_dataset(source, data_dir, saved_dir=saved).unchanged) == 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data/dataset/svamp.json", '{"data": [', r"archive\.tar.*dataset/svamp\.json, line 1"),
        ("data/dataset/svamp.json", '{"data": [{"sample_index": 0}]}', "row 0: has no 'question'"),
        ("data/split/svamp__default.json", '{"train": [1], "test": [1]}', "names sample 1 twice"),
        ("data/few_shot_cot_prompts.json", "[]", "is no object by data set"),
        ("completion_data/B_a__C_b/other.json", '{"data": {}}', "is not named as it should be"),
        ("completion_data/B_a__C_b/D_x.json", '{"data": {"0": [{}]}}', "its 'sample_index' is missing"),
    ],
)
def test_one_bad_file_and_nothing_is_imported(
    tmp_path: Path, published: Path, data_dir: Path, name: str, content: str, message: str
) -> None:
    (published / name).parent.mkdir(parents=True, exist_ok=True)
    (published / name).write_text(content)
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        archive.add(published, ".")
    with pytest.raises(DataError, match=message) as error:
        import_dataset(tmp_path / "archive.tar", data_dir, saved_dir=tmp_path / "saved")
    assert "ftcot-import-" not in str(error.value)
    assert not data_dir.exists()
    assert not (tmp_path / "saved").exists()


def test_files_in_the_way(tmp_path: Path, published: Path, data_dir: Path) -> None:
    (data_dir / "split").mkdir(parents=True)
    (data_dir / "split" / "addsub__default.json").write_text("{}")
    options = {"saved_dir": tmp_path / "saved"}
    with pytest.raises(DataError, match=r"addsub__default\.json: is there already and differs"):
        import_dataset(published, data_dir, **options)
    assert tree(data_dir) == ["split/addsub__default.json"]
    assert len(import_dataset(published, data_dir, overwrite=True, **options).written) == 4


def test_sources_that_are_none(tmp_path: Path, data_dir: Path) -> None:
    lines(tmp_path / "a.jsonl", QA)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is not there"):
        import_dataset(tmp_path / "none.jsonl", data_dir)
    with pytest.raises(UsageError, match="path separator"):
        import_dataset(tmp_path / "a.jsonl", data_dir, "../a")
    with pytest.raises(UsageError, match="is a bundled data set"):
        import_dataset(tmp_path / "a.jsonl", data_dir, "bundled")
    with pytest.raises(DataError, match="holds no file of the published layout"):
        import_dataset(tmp_path / "empty", data_dir, kind="reasoning-teacher")
    with pytest.raises(UsageError, match="published files keep their names"):
        import_dataset(tmp_path / "empty", data_dir, "a", kind="reasoning-teacher")
    lines(tmp_path / "bad.jsonl", [*QA, {"question": "?", "answer": " "}])
    with pytest.raises(DataError, match=r"bad\.jsonl, line 3: its 'answer' is empty"):
        import_dataset(tmp_path / "bad.jsonl", data_dir)
    lines(tmp_path / "twice.jsonl", [{**row, "sample_index": 1} for row in QA])
    with pytest.raises(DataError, match="same sample_index"):
        import_dataset(tmp_path / "twice.jsonl", data_dir)
    assert not data_dir.exists()


def test_the_published_data_folder_is_an_archive_of_itself(tmp_path: Path, shared_data: Path) -> None:
    for name in ("dataset/addsub.json", "split/addsub__default.json", "few_shot_cot_prompts.json"):
        (tmp_path / "some" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared_data / name, tmp_path / "some" / name)
    report = import_dataset(tmp_path / "some", tmp_path / "data", saved_dir=tmp_path / "saved")
    assert (report.samples, len(report.written)) == (395, 3)
