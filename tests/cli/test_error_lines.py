"""What goes wrong on the user's side: one line that says what, where and what to do; ``saved/`` as it was."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from finetune_cot.cli.main import main
from tests.cli.command_lines import Capture, run, told, tree

pytestmark = pytest.mark.models

DATASET = "mine"
TEACH = ("teach", "--teacher", "rationale", "--dataset-key", DATASET)
BUILD = ("build-finetune-data", "--model-key", "rationale", "--dataset-key", DATASET)
TRAIN = ("train", "--dataset-key", DATASET, "--epochs", "1", "--dev-fraction", "0")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, saved_dir: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find both folders without being told, and leave nothing where they are run."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("FTCOT_SAVED_DIR", str(saved_dir))
    monkeypatch.setenv("FTCOT_DATA_DIR", str(data_dir))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder with one small data set that brings rationales along."""
    path = tmp_path / "data" / "dataset" / f"{DATASET}.json"
    path.parent.mkdir(parents=True)
    rows = [
        {
            "sample_index": number,
            "question": f"Ann has {number} apples and buys 2. How many?",
            "answer": str(number + 2),
            "rationale": f"{number} + 2 = {number + 2}.",
        }
        for number in range(20)
    ]
    path.write_text(json.dumps({"data": rows}), encoding="utf-8")
    return tmp_path / "data"


def trained(capsys: Capture, model: Path, *words: object) -> Path:
    """Checkpoint of a student of a tiny model."""
    return Path(run(capsys, *TRAIN, "--model-key", model, *words)["checkpoint"])


@pytest.mark.parametrize("command", ["teach", "build-finetune-data", "train", "evaluate", "data show"])
def test_an_unknown_data_set(command: str, capsys: Capture, saved_dir: Path, data_dir: Path) -> None:
    words = [*command.split(), *([] if command == "data show" else ["--dataset-key"]), "miine"]
    message = told(capsys, saved_dir, words, 2)
    assert str(data_dir) in message
    assert "there is no data set 'miine'" in message
    assert "did you mean mine" in message


@pytest.mark.parametrize(
    "words",
    [
        ["teach", "--dataset-key", "../up"],
        ["evaluate", "--dataset-key", "../up"],
        ["data", "show", "../up"],
        ["build-finetune-data", "--dataset-key", "../up"],
        ["build-finetune-data", "--preset-key", "ft", "--dataset-key", DATASET, "--finetune-key", "../up"],
        ["train", "--finetune-key", "../up"],
        ["train", "--finetune-key", "mine+../up"],
        ["evaluate", "--finetune-key", "../up"],
        ["evaluate", "--finetune-key", "mine", "--train-key", "../up"],
        [*TRAIN, "--save-name", "../up"],
        [*TRAIN, "--train-key", "../up"],
        [*TRAIN, "--split-key", "../up"],
        ["report", "--name", "../up"],
        ["report", "--dataset-key", "../up"],
        ["data", "generate", "--num-samples", "2", "--name", "../up"],
    ],
)
def test_a_key_that_leads_out_of_its_folder(
    words: list[str], capsys: Capture, saved_dir: Path, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    message = told(capsys, saved_dir, words, 2)
    assert "../up' holds a path separator" in message
    assert "use letters, digits" in message
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command", ["teach", "build-finetune-data", "train", "evaluate"])
@pytest.mark.parametrize(("key", "code"), [("gsm8k", 1), ("mine", 2)])
def test_a_missing_data_folder(command: str, key: str, code: int, capsys: Capture, saved_dir: Path) -> None:
    words = [command, "--dataset-key", key, "--data-dir", "nowhere"]
    message = told(capsys, saved_dir, words, code)
    assert message.startswith("nowhere: there is no data ")


@pytest.mark.parametrize("content", ["half", "empty", "list", "folder"])
def test_a_damaged_data_set(content: str, capsys: Capture, saved_dir: Path, data_dir: Path) -> None:
    path = data_dir / "dataset" / f"{DATASET}.json"
    damage(path, content)
    for words in (TEACH, ["train", "--dataset-key", DATASET], ["evaluate", "--dataset-key", DATASET]):
        message = told(capsys, saved_dir, words, 1)
        assert str(path) in message


@pytest.mark.parametrize("content", ["half", "empty", "list", "folder"])
def test_a_damaged_completion_file(content: str, capsys: Capture, saved_dir: Path) -> None:
    path = Path(run(capsys, *TEACH)["path"])
    damage(path, content)
    for words in (TEACH, BUILD, ["evaluate", "--model-key", "rationale", "--dataset-key", DATASET]):
        message = told(capsys, saved_dir, words, 1)
        assert str(path) in message


@pytest.mark.parametrize("content", ["half", "empty", "list", "folder"])
def test_damaged_training_data(content: str, capsys: Capture, saved_dir: Path, tiny_llama_dir: Path) -> None:
    run(capsys, *TEACH)
    path = Path(run(capsys, *BUILD)["path"])
    damage(path, content)
    key = path.stem.removeprefix("F_")
    for words in (BUILD, ["train", "--model-key", tiny_llama_dir, "--finetune-key", key]):
        message = told(capsys, saved_dir, words, 1)
        assert str(path) in message


@pytest.mark.parametrize("content", ["half", "empty", "list", "folder"])
def test_a_damaged_manifest_of_a_checkpoint(
    content: str, capsys: Capture, saved_dir: Path, tiny_llama_dir: Path
) -> None:
    path = trained(capsys, tiny_llama_dir) / "manifest.json"
    damage(path, content)
    message = told(capsys, saved_dir, [*TRAIN, "--model-key", tiny_llama_dir], 1)
    assert str(path) in message


@pytest.mark.parametrize("content", ["half", "empty", "list"])
@pytest.mark.parametrize("name", ["student.json", "last/adapter_config.json"])
def test_a_damaged_checkpoint(
    name: str, content: str, capsys: Capture, saved_dir: Path, tiny_llama_dir: Path
) -> None:
    checkpoint = trained(capsys, tiny_llama_dir)
    damage(checkpoint / name, content)
    further = ["--load-model-dir", checkpoint]
    for words in (["export-hf", *further], ["evaluate", "--dataset-key", DATASET, *further]):
        message = told(capsys, saved_dir, words, 1)
        assert str(checkpoint / name) in message


def damage(path: Path, how: str) -> None:
    """Tear a file, empty it, give it another form, or put a folder in its place."""
    content = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    else:
        path.write_bytes({"half": content[: len(content) // 2], "empty": b"", "list": b"[1]"}[how])


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"instruction": "Say c.", "text": "c"}', "has no 'output'"),
        ('{"instruction": "Say c.", "output": 3}', "its 'output' is no text"),
        ('{"instruction": "Say c.", "outp', "is cut off or no JSON"),
        ("3", "is no object"),
    ],
)
def test_a_line_without_what_is_needed(
    line: str, what: str, capsys: Capture, saved_dir: Path, tmp_path: Path, tiny_llama_dir: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    good = [json.dumps({"instruction": f"Say {word}.", "output": word}) for word in "ab"]
    path.write_text("\n".join([*good, line]) + "\n", encoding="utf-8")
    message = told(capsys, saved_dir, ["train", "--model-key", tiny_llama_dir, "--data-path", path], 1)
    assert f"{path}, line 3" in message
    assert what in message


@pytest.mark.parametrize("content", ["", "\n\n"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.parquet"])
def test_an_empty_file(
    name: str, content: str, capsys: Capture, saved_dir: Path, tmp_path: Path, tiny_llama_dir: Path
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    message = told(capsys, saved_dir, ["train", "--model-key", tiny_llama_dir, "--data-path", path], 1)
    assert str(path) in message


def test_a_folder_instead_of_a_file(
    capsys: Capture, saved_dir: Path, tmp_path: Path, tiny_llama_dir: Path
) -> None:
    folder = tmp_path / "rows.jsonl"
    folder.mkdir()
    message = told(capsys, saved_dir, ["train", "--model-key", tiny_llama_dir, "--data-path", folder], 1)
    assert f"{folder}: holds no file of instruction data" in message
    assert str(folder) in told(capsys, saved_dir, ["train", "--config", folder], 2)


def test_a_file_instead_of_the_saved_folder(capsys: Capture, tmp_path: Path, saved_dir: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    run(capsys, *TEACH)
    for words in (TEACH, [*TRAIN, "--model-key", tmp_path / "none"], ["report"]):
        told(capsys, saved_dir, [*words, "--saved-dir", file], 1)
    assert file.read_text() == "mine"


def test_nothing_is_left_after_filtering(
    capsys: Capture, saved_dir: Path, data_dir: Path, tiny_llama_dir: Path
) -> None:
    model = ["--model-key", tiny_llama_dir, "--dataset-key", DATASET]
    taught = run(capsys, "teach", *model, "--max-reasoning-tokens", 2, "--max-answer-tokens", 2)["path"]
    message = told(capsys, saved_dir, ["build-finetune-data", *model], 1)
    assert f"{taught}: nothing is left to train on: 20 looked at" in message
    path = data_dir / "dataset" / f"{DATASET}.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"data": [{**row, "rationale": ""} for row in content["data"]]}))
    message = told(capsys, saved_dir, ["train", *model, "--template", "ft_cot_token"], 1)
    assert f"{DATASET}: there is nothing to train on" in message


@pytest.mark.parametrize("command", ["teach", "train", "evaluate"])
@pytest.mark.parametrize("model", ["./nowhere", "/nowhere/at/all", "a b", "nobody/nothing"])
def test_a_model_that_is_not_there(
    model: str, command: str, capsys: Capture, saved_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = told(capsys, saved_dir, [command, "--dataset-key", DATASET, "--model-key", model], 1)
    assert model in message


def test_a_hub_that_does_not_answer(
    capsys: Capture, saved_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens at the hub's address, as on a machine without network that does not know it is one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = ["ftcot", "teach", "--dataset-key", DATASET, "--model-key", "nobody/nothing"]
    code = f"from finetune_cot.cli.main import main; import sys; sys.exit(main({command[1:]!r}))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ
        | {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(saved_dir.parent / "hf")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("ftcot: nobody/nothing: the model is not in the local cache")
    assert ran.stderr.count("\n") == 1
    assert tree(saved_dir) == {}


def test_an_adapter_of_another_model(
    capsys: Capture, saved_dir: Path, tiny_llama_dir: Path, tiny_gpt2_dir: Path, tmp_path: Path
) -> None:
    checkpoint = trained(capsys, tiny_llama_dir)
    other = ["--model-key", tiny_gpt2_dir, "--load-model-dir", checkpoint]
    for words in ([*TRAIN, *other, "--save-name", "more"], ["evaluate", "--dataset-key", DATASET, *other]):
        message = told(capsys, saved_dir, words, 1)
        assert "another model" in message or "was trained from" in message
        assert str(checkpoint) in message
    # An adapter that says nothing true of where it comes from: its tensors do not fit.
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for file in (checkpoint / "last").glob("adapter_*"):
        (foreign / file.name).write_bytes(file.read_bytes())
    adapter_config = json.loads((foreign / "adapter_config.json").read_text())
    adapter_config |= {"base_model_name_or_path": str(tiny_gpt2_dir), "target_modules": ["c_attn"]}
    (foreign / "adapter_config.json").write_text(json.dumps(adapter_config))
    message = told(capsys, saved_dir, ["export-hf", "--load-model-dir", foreign], 1)
    assert "an adapter of another model" in message
    assert str(foreign) in message


def test_devices_that_are_not_there(capsys: Capture, saved_dir: Path, tiny_llama_dir: Path) -> None:
    message = told(capsys, saved_dir, [*TRAIN, "--model-key", tiny_llama_dir, "--devices", 3], 2)
    assert message.startswith("--devices: 3 devices are asked for; this machine has ")
    words = ["evaluate", "--dataset-key", DATASET, "--model-key", tiny_llama_dir, "--device", "cuda:7"]
    assert "--device: this machine has no device 'cuda:7'" in told(capsys, saved_dir, words, 2)


@pytest.mark.parametrize("rank", ["0", "-1"])
def test_a_rank_that_is_none(rank: str, capsys: Capture, saved_dir: Path) -> None:
    message = told(capsys, saved_dir, ["train", "--lora-rank", rank], 2)
    assert message.startswith(f"--lora-rank: {rank} must be above 0")


def test_a_loss_that_is_no_number(capsys: Capture, saved_dir: Path, tiny_llama_dir: Path) -> None:
    wild = ["--lr", "1e9", "--warmup", "0", "--gradient-clip", "0", "--method", "full"]
    message = told(capsys, saved_dir, [*TRAIN, "--model-key", tiny_llama_dir, *wild], 1)
    assert "the loss is" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_saved_folder_that_cannot_be_written_to(
    capsys: Capture, saved_dir: Path, tiny_llama_dir: Path
) -> None:
    saved_dir.chmod(0o500)
    try:
        for words in (TEACH, [*TRAIN, "--model-key", tiny_llama_dir]):
            assert str(saved_dir) in told(capsys, saved_dir, words, 1)
    finally:
        saved_dir.chmod(0o700)


@pytest.fixture
def small_disk(saved_dir: Path) -> Iterator[Path]:
    """The saved folder on a disk of 2 MiB; only root can mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "ftcot-test", str(saved_dir)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        yield saved_dir
    finally:
        subprocess.run(["umount", str(saved_dir)], check=True)


def fill(disk: Path, free_bytes: int) -> Path:
    """A file that leaves so much space on a disk."""
    file = disk / "full"
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)) == 4096:
            pass
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - free_bytes)
    return file


@pytest.mark.parametrize("free_bytes", [0, 4096, 8192, 32768])
@pytest.mark.parametrize("command", ["teach", "build-finetune-data", "train", "report"])
def test_a_full_disk(
    command: str, free_bytes: int, capsys: Capture, small_disk: Path, tiny_llama_dir: Path
) -> None:
    words: Sequence[object] = {
        "teach": TEACH,
        "build-finetune-data": BUILD,
        "train": [*TRAIN, "--model-key", tiny_llama_dir, "--checkpoint-every", 1],
        "report": ["report"],
    }[command]
    if command != "teach":
        run(capsys, *TEACH)
    filler = fill(small_disk, free_bytes)
    before = tree(small_disk)
    capsys.readouterr()
    code = main([*map(str, words)])
    shown = capsys.readouterr().err
    if free_bytes == 0:
        assert code == 1
    if code:
        last = shown.splitlines()[-1]
        assert last.startswith(f"ftcot: {small_disk}/")
        assert "No space left on device" in last
        assert "free some space" in last
        assert shown.count("ftcot: ") == 1
    if free_bytes == 0 or command in ("build-finetune-data", "report"):
        assert code == 0 or tree(small_disk) == before
    filler.unlink()
    run(capsys, *words)
    assert not [
        name for name in tree(small_disk) if ".tmp-" in name or name.endswith((".lock", ".journal.jsonl"))
    ]
