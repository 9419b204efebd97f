"""The examples run, on tiny models with random weights."""

import json
import re
from pathlib import Path

import pytest

from examples import alpaca_skills, gsm8k_human_rationales, own_tasks, without_the_cli
from finetune_cot.cli.main import main
from tests.adapters_library import has_adapters
from tests.glue_files import write_glue

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SKILLS = ("add", "edit", "list", "make", "rewrite", "summarize")


def test_the_table_names_every_example() -> None:
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}
    assert files == set(re.findall(r"^\| `(\S+)` \|", table, re.MULTILINE))


@pytest.fixture
def skills(tmp_path: Path) -> Path:
    """Instruction data of six skills."""
    rows = [
        {"instruction": f"{skill} {number}", "input": "", "output": f"{number}", "skill": skill}
        for skill in SKILLS
        for number in range(8)
    ]
    path = tmp_path / "my_rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.models
def test_the_library_without_the_command_line(
    tmp_path: Path, tiny_llama_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--train", "8", "--test", "4", "--saved-dir", str(tmp_path)]
    without_the_cli.main(["--model-key", str(tiny_llama_dir), *asked])
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "8 samples of 8 rationales"
    assert [re.sub(r"[\d.]+%", "%", line) for line in told[2:]] == [
        "base: % ± %, n = 4",
        "student: % ± %, n = 4",
    ]


@pytest.mark.models
def test_tasks_of_ones_own(tmp_path: Path, tiny_llama_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_tasks.main(
        ["--model-key", str(tiny_llama_dir), "--samples", "40", "--test", "8", "--out", str(tmp_path)]
    )
    told = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"student: digit_sums \d of \d, leap_years \d of \d", told[-1])


def test_rationales_of_ones_own_tasks_are_right() -> None:
    assert [own_tasks.leap_year(year).answer for year in (1900, 2000, 2024, 2023)] == [
        "no",
        "yes",
        "yes",
        "no",
    ]
    sample = own_tasks.digit_sum(2047)
    assert (sample.answer, sample.rationale) == ("13", "The digits are 2 + 0 + 4 + 7 = 13. The answer is 13.")


@pytest.mark.slow
def test_gsm8k_with_human_rationales(
    tmp_path: Path, shared_data: Path, tiny_llama_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--train", "8", "--test", "4", "--saved-dir", str(tmp_path), "--data-dir", str(shared_data)]
    gsm8k_human_rationales.main(["--model-key", str(tiny_llama_dir), *asked])
    told = capsys.readouterr().out
    assert re.findall(r"^(.*): .* n = (\d+)$", told, re.MULTILINE) == [
        ("solution and answer", "4"),
        ("answer alone", "4"),
    ]


def test_gsm8k_says_how_to_get_the_data(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="ftcot data fetch gsm8k"):
        gsm8k_human_rationales.main(["--data-dir", str(tmp_path)])


@pytest.mark.models
def test_skills_that_help_one_of_them(
    tmp_path: Path, skills: Path, tiny_llama_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--skills", "3", "--rows-per-skill", "8", "--subsets", "3", "--out", str(tmp_path / "out")]
    alpaca_skills.main([str(skills), "--model-key", str(tiny_llama_dir), *asked])
    scored = re.findall(r"^(?:[+-][\d.]+|alone) (\w+)", capsys.readouterr().out, re.MULTILINE)
    assert sorted(scored) == ["add", "edit", "rewrite"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ray_runs.yaml", "ray_truth.yaml"])
def test_on_ray(
    name: str, tmp_path: Path, skills: Path, tiny_llama_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands(name):
        model = [] if words == ["report"] else ["--model-key", str(tiny_llama_dir)]
        assert main([*words, *model]) == 0


@pytest.mark.models
def test_glue(tmp_path: Path, tiny_llama_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_glue(tmp_path / "data", ("sst2", "rte"), train=40)
    monkeypatch.chdir(tmp_path)
    train, *measure = commands("glue_adapters.toml")
    model = ["--model-key", str(tiny_llama_dir)]
    bottleneck = has_adapters()
    assert main([*train, *model, *([] if bottleneck else ["--method", "lora"])]) == 0
    for words in measure:
        assert main([*words, *model, *([] if bottleneck else ["--train-key", "lora"])]) == 0


def commands(name: str) -> list[list[str]]:
    """The words after ``ftcot`` of each command in a config's comment."""
    text = (EXAMPLES / name).read_text(encoding="utf-8").replace("examples/", f"{EXAMPLES}/")
    return [line.split() for line in re.findall(r"^# {5}ftcot (.*)$", text, re.MULTILINE)]
