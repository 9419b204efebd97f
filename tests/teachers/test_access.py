"""Which key a server is sent, and which it is not."""

import json
from pathlib import Path

import pytest

from finetune_cot.cli.main import main
from finetune_cot.errors import UsageError
from finetune_cot.teachers.access import OPENAI_URL, Access, server_access

KEY = "sk-secret-of-the-user"
ELSEWHERE = "http://127.0.0.1:8000/v1"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("url", [None, OPENAI_URL, "https://API.openai.com:443/v1/"])
def test_the_key_of_openai_goes_to_openai(url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert server_access(url).key == KEY
    assert server_access(url).is_openai


@pytest.mark.parametrize(
    "url",
    [ELSEWHERE, "http://api.openai.com/v1", "https://api.openai.com.evil.org/v1", "https://evil.org/v1"],
)
def test_it_goes_to_no_other_server_unasked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    access = server_access(url)
    assert access.key == ""
    assert "give --api-key-env OPENAI_API_KEY" in access.key_remedy
    assert server_access(url, "OPENAI_API_KEY").key == KEY


def test_it_goes_to_the_server_that_the_environment_names_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", ELSEWHERE)
    assert server_access(ELSEWHERE).key == KEY
    assert server_access("http://127.0.0.1:8001/v1").key == ""


def test_openai_needs_a_key_and_others_do_not() -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        server_access(None)
    assert server_access(ELSEWHERE).key == ""
    assert server_access(f"{ELSEWHERE}/") == server_access(ELSEWHERE)


def test_a_variable_of_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", f" {KEY} ")
    assert server_access(ELSEWHERE, "OTHER_KEY").key == KEY
    with pytest.raises(UsageError, match="NO_KEY is not set"):
        server_access(ELSEWHERE, "NO_KEY")
    monkeypatch.setenv("OTHER_KEY", "two\nlines")
    with pytest.raises(UsageError, match="OTHER_KEY: holds more than a key"):
        server_access(ELSEWHERE, "OTHER_KEY")


def test_a_key_in_a_file(key_file: Path) -> None:
    access = server_access(None, None, key_file)
    assert access.key == KEY
    assert access.source == str(key_file)
    assert KEY not in repr(access)
    assert access.hide(f"not {KEY}!") == "not ***!"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o611])
def test_a_file_that_others_can_read_is_refused(mode: int, key_file: Path) -> None:
    key_file.chmod(mode)
    with pytest.raises(UsageError, match=f"others can read it; run: chmod 600 {key_file}") as caught:
        server_access(None, None, key_file)
    assert KEY not in str(caught.value)


def test_files_that_hold_no_key(key_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        server_access(None, None, tmp_path / "none")
    with pytest.raises(UsageError, match="Is a directory"):
        server_access(None, None, tmp_path)
    with pytest.raises(UsageError, match="names a key, as --api-key-env does"):
        server_access(None, "A", key_file)
    key_file.write_text("two\nlines")
    with pytest.raises(UsageError, match="holds more than a key"):
        server_access(None, None, key_file)
    key_file.write_text("\n")
    with pytest.raises(UsageError, match="is empty"):
        server_access(None, None, key_file)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://ann:pw@h", "http://", "http://[::1", "http://h:99999/v1"]
)
def test_what_is_no_address_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(UsageError, match="--base-url: is no address of a server; give one such as") as caught:
        server_access(url)
    assert "pw" not in str(caught.value)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    assert server_access(ELSEWHERE).key == ""


@pytest.mark.parametrize("url", ["http://ann:pw@h/v1", "http://ann@h/v1", "http://h/v1?api-key=sk-1"])
def test_an_address_with_a_secret_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="--base-url: holds a name, a password or a query") as caught:
        server_access(url)
    assert "pw" not in str(caught.value)
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize(
    "words", [["--api-key-env", KEY], ["--api-key", KEY], [f"--api-key={KEY}"], ["--api-key-file", "none"]]
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_key_on_the_command_line_is_not_repeated(
    words: list[str],
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["teach", "--teacher", "openai", "--model-key", "m", *words, *(["--json"] if as_json else [])]
    assert main(line) == 2
    shown = capsys.readouterr()
    assert KEY not in shown.out + shown.err
    assert (shown.out if as_json else shown.err).count("\n") == 1
    if as_json:
        assert json.loads(shown.out)["error"]["exit_code"] == 2
    assert list(tmp_path.iterdir()) == []


def test_the_key_is_part_of_no_text() -> None:
    assert KEY not in f"{Access(ELSEWHERE, KEY, 'OPENAI_API_KEY')}"
