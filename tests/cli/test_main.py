"""The command line from outside: help, typos, exit codes, and what it imports."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_cot.cli.main import COMMANDS, build_app, main
from finetune_cot.config.select import METHODS

HEAVY = {"torch", "transformers", "lightning", "numpy", "datasets", "peft", "openai", "matplotlib"}


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "finetune_cot", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["train", "--help"], ["data", "list", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from finetune_cot.cli.main import main; code = main(sys.argv[1:]);"
        "print(code, *sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    exit_code, *modules = shown.stderr.split()
    assert exit_code == "0"
    assert "Usage: ftcot" in shown.stdout
    assert HEAVY.isdisjoint(modules)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"Usage: ftcot {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", [*COMMANDS, *(f"data {word}" for word in ("list", "show", "import"))])
def test_examples_in_the_help_can_be_typed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([*name.split(), "--help"])
    examples = re.findall(rf"^ +ftcot ({name}\b.*)$", capsys.readouterr().out.partition("Examples:")[2], re.M)
    assert examples or name == "data"
    for example in examples:
        # A config file that is missing is told of only after every option was understood.
        assert main([*example.split(), "--config", "missing.toml"]) == 2
        assert capsys.readouterr().err.startswith("ftcot: missing.toml: cannot be read")


def test_help_names_the_values_of_an_option_also_where_they_are_many(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["select", "--help"]) == 0
    shown = "".join(capsys.readouterr().out.split())  # where lines break does not matter
    assert f"Oneof{','.join(METHODS)}." in shown
    assert "--group-bytask|cluster" in shown


def test_the_whole_app_builds_for_shell_completion() -> None:
    assert len(build_app(None).registered_commands) == len(COMMANDS) - 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["train", "--lora-rnk", "2"], "--lora-rank"),
        (["data", "lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["train", "--lora-rank", "0"], "--lora-rank: 0 must be above 0"),
        (["train", "--lora-rank", "x"], "--lora-rank"),
        (
            ["evaluate", "--checker", "lenient"],
            "--checker: 'lenient' is not one of published, robust, math-verify",
        ),
        (["train", "--config", "none.toml"], "none.toml: cannot be read"),
    ],
)
def test_bad_usage_is_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("ftcot: ")
    assert shown.err.count("\n") == 1
    assert message in shown.err
    assert main([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 2
    assert list(tmp_path.iterdir()) == []


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "ftcot 0.1.0\n"


def test_flags_override_config_file_overrides_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FTCOT_DATA_DIR", str(tmp_path / "environment"))
    for arguments, folder in [
        ([], "environment"),
        (["--config", str(tmp_path / "c.toml")], "file"),
        (["--config", str(tmp_path / "c.toml"), "--data-dir", str(tmp_path / "flag")], "flag"),
    ]:
        (tmp_path / "c.toml").write_text(f'data-dir = "{tmp_path / "file"}"\n')
        (tmp_path / folder).mkdir(exist_ok=True)
        assert main(["data", "show", "nothing", *arguments]) == 2
        assert "nothing" in capsys.readouterr().err


def test_python_dash_m_runs_the_command() -> None:
    assert run("--version").stdout == "ftcot 0.1.0\n"
