"""Fixtures that every test may use."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

PUBLISHED_DATA = Path(
    os.environ.get("FTCOT_DATA_DIR", Path(__file__).resolve().parents[2] / "shared" / "data")
)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in ("FTCOT_DATA_DIR", "FTCOT_SAVED_DIR", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True, scope="session")
def own_interrupts() -> Iterator[None]:
    """Let Ctrl-C reach the commands that tests start: what a shell runs in the background ignores it."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in the order in which other processes with one thread take them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the published data sets, which are not part of this repository."""
    folder = PUBLISHED_DATA
    if not (folder / "dataset").is_dir():
        pytest.skip(f"no published data sets at {folder}: set FTCOT_DATA_DIR to a folder that holds dataset/")
    return folder


@pytest.fixture
def saved_dir(tmp_path: Path) -> Path:
    """An empty saved/ folder."""
    folder = tmp_path / "saved"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def tiny_llama_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random Llama with a chat template; do not write into it."""
    from tests.tiny_models import write_llama

    return write_llama(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def wide_model_dirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny random models by family, wide enough for 4 bits; do not write into them."""
    from tests.tiny_models import write_bert, write_gpt2, write_llama, write_t5

    folder = tmp_path_factory.mktemp("wide_models")
    written = {"llama": write_llama, "gpt2": write_gpt2, "t5": write_t5, "bert": write_bert}
    return {family: write(folder / family, hidden_size=64) for family, write in written.items()}


@pytest.fixture(scope="session")
def tiny_gpt2_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random GPT-2; do not write into it."""
    from tests.tiny_models import write_gpt2

    return write_gpt2(tmp_path_factory.mktemp("models") / "tiny-gpt2")


@pytest.fixture(scope="session")
def tiny_bert_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random BERT; do not write into it."""
    from tests.tiny_models import write_bert

    return write_bert(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="session")
def tiny_t5_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random T5; do not write into it."""
    from tests.tiny_models import write_t5

    return write_t5(tmp_path_factory.mktemp("models") / "tiny-t5")
