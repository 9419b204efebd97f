"""``ftcot data`` as a user meets it: results, manifests, and one clear line for everything wrong."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_cot.artifacts.manifest import read_manifest
from finetune_cot.cli.main import main
from finetune_cot.config.data import (
    DataGenerateConfig,
    DataImportConfig,
    DataListConfig,
    DataShowConfig,
)
from finetune_cot.errors import DataError, UsageError
from finetune_cot.pipeline.data import generate_data, import_data, list_data, show_data
from finetune_cot.prompts.segments import Segment
from finetune_cot.tasks.procedural.registry import bundled_keys


def test_without_a_data_folder_the_bundled_ones_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [item.key for item in list_data(DataListConfig()).datasets] == bundled_keys()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, what in (("nowhere", "there is no such data folder"), ("file", "is no folder")):
        with pytest.raises(DataError, match=f"{name}: {what}; name its folder with --data-dir"):
            list_data(DataListConfig(data_dir=tmp_path / name))


def test_listing_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from finetune_cot.cli.main import main; code = main(['data', 'list', '--json']);"
        "print(code, *sorted({'torch', 'transformers', 'lightning', 'datasets'} & sys.modules.keys()),"
        "file=sys.stderr)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert shown.stderr.split() == ["0"]
    assert json.loads(shown.stdout)["datasets"][0]["key"] == "bundled"


def test_the_list_of_the_published_data(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list", "--data-dir", str(shared_data), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["datasets"]
    assert listed[0].keys() == {"key", "samples", "train", "test", "tasks", "source"}
    assert {item["key"]: item["test"] for item in listed}["gsm8k"] == 1319


def test_a_bundled_task_with_prompt_and_label_told_apart() -> None:
    shown = show_data(DataShowConfig(dataset_key="bundled_coin_flip", limit=2))
    assert (shown.dataset, shown.samples, shown.template) == ("bundled_coin_flip", 300, "ft_cot_token")
    example = shown.examples[0]
    assert example.prompt.endswith(" ###")
    assert example.label.endswith(f" --> {example.answer}")
    assert example.segments == (Segment(example.prompt, False), Segment(example.label, True))
    assert len(shown.examples) == 2


def test_other_templates() -> None:
    shown = show_data(DataShowConfig(dataset_key="bundled_parity", template="ft_natural", limit=1))
    assert shown.examples[0].prompt.startswith("Q: ")
    assert shown.examples[0].label == f" {shown.examples[0].answer}"
    asked = show_data(DataShowConfig(dataset_key="bundled_parity", template="fs_cot", limit=1)).examples[0]
    assert asked.prompt.count("Q: ") > 1
    assert asked.label == ""


def test_the_label_is_marked_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "chat.jsonl"
    turns = [("user", "Hi"), ("assistant", "Ho"), ("user", "And?"), ("assistant", "Ha")]
    path.write_text(json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]}))
    assert main(["data", "show", "--data-path", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "chat.jsonl: messages (1 tasks, 0 rows left out), 1 samples, template conversation" in shown
    assert "[[Ho]]" in shown
    assert "[[Ha]]" in shown
    assert shown.index("[[Ho]]") < shown.index("And?") < shown.index("[[Ha]]")


def test_a_data_set_without_rationales_shows_answers(shared_data: Path) -> None:
    shown = show_data(DataShowConfig(dataset_key="multiarith", data_dir=shared_data, limit=1))
    assert shown.template == "ft_token"
    assert shown.examples[0].label == " 39"
    assert "choice of ABCDE" in show_data(DataShowConfig(dataset_key="aqua", data_dir=shared_data)).format
    with pytest.raises(UsageError, match="needs rationales, and a sample has none"):
        show_data(DataShowConfig(dataset_key="multiarith", data_dir=shared_data, template="ft_cot_token"))


def test_generated_data_carry_a_manifest_and_can_be_shown(tmp_path: Path) -> None:
    config = DataGenerateConfig(dataset_key="bundled_parity", num_samples=4, data_dir=tmp_path)
    assert generate_data(config).written
    manifest = read_manifest(tmp_path / "manifests" / "data_generate_bundled_parity_4.json")
    assert manifest.command == "data generate"
    assert manifest.outputs.keys() == {"dataset/bundled_parity_4.json"}
    before = manifest.started
    assert not generate_data(config).written
    assert read_manifest(tmp_path / "manifests" / "data_generate_bundled_parity_4.json").started == before
    assert show_data(DataShowConfig(dataset_key="bundled_parity_4", data_dir=tmp_path)).samples == 4
    listed = list_data(DataListConfig(data_dir=tmp_path)).datasets
    assert [item.key for item in listed if item.source.startswith(str(tmp_path))] == ["bundled_parity_4"]


def test_the_manifest_replays_the_command(tmp_path: Path) -> None:
    arguments = ["data", "generate", "bundled_parity", "--num-samples", "4", "--data-dir", str(tmp_path)]
    assert main(arguments) == 0
    manifest = tmp_path / "manifests" / "data_generate_bundled_parity_4.json"
    shutil.move(manifest, tmp_path / "kept.json")
    (tmp_path / "dataset" / "bundled_parity_4.json").unlink()
    assert main(["data", "generate", "--config", str(tmp_path / "kept.json")]) == 0
    assert (tmp_path / "dataset" / "bundled_parity_4.json").exists()


def test_imports_name_their_source_in_the_manifest(tmp_path: Path) -> None:
    source = tmp_path / "my sums.csv"
    source.write_text("question,answer\n1 + 1?,2\n")
    result = import_data(DataImportConfig(source=str(source), dataset_key="sums", data_dir=tmp_path / "data"))
    assert (result.kind, result.samples) == ("reasoning", 1)
    manifest = read_manifest(tmp_path / "data" / "manifests" / "data_import_sums.json")
    assert manifest.inputs.keys() == {str(source)}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "bundled_coinflip"], 2, "did you mean"),
        (["show", "../x"], 2, "data set key '../x' holds a path separator"),
        (["show", "gsm8k"], 1, "data: there is no data folder"),
        (["show", "--data-path", "none.jsonl"], 1, "none.jsonl: is not there"),
        (["show", "--data-path", "bad.jsonl"], 1, "bad.jsonl, line 2: has no 'output'"),
        (["show", "--data-path", "half.json"], 1, "half.json, line 1, column 8"),
        (["list", "--data-dir", "nowhere"], 1, "nowhere: there is no such data folder"),
        (["import"], 2, "no source is named"),
        (["import", "half.json"], 1, "half.json, line 1"),
        (["import", "evil.pkl"], 1, "evil.pkl: asks for os.system"),
        (["import", "bad.jsonl"], 1, "bad.jsonl, line 2"),
        (["import", "bad.jsonl", "--dataset-key", "../x"], 2, "path separator"),
        (["fetch"], 2, "no data set is named; choose one of single_eq"),
        (["fetch", "nothing"], 2, "is no published data set"),
        (["generate", "parity"], 2, "is no bundled data set"),
        (["generate", "bundled_parity", "--num-samples", "0"], 2, "0 must be above 0"),
        (["generate", "bundled_parity", "--num-samples", "1", "--data-dir", "bad.jsonl"], 1, "bad.jsonl"),
    ],
)
def test_one_clear_line_for_everything_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_text('{"instruction": "a", "output": "b"}\n{"instruction": "a"}\n')
    Path("half.json").write_text('[{"a": ')
    Path("evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert main(["data", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("ftcot: ")
    assert shown.err.count("\n") == 1
    assert message in shown.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
