"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the published data sets, which are not part of this repository."""
    folder = Path(os.environ.get("FTCOT_DATA_DIR", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not (folder / "dataset").is_dir():
        pytest.skip(f"no published data sets at {folder}: set FTCOT_DATA_DIR to a folder that holds dataset/")
    return folder


@pytest.fixture
def saved_dir(tmp_path: Path) -> Path:
    """An empty saved/ folder."""
    folder = tmp_path / "saved"
    folder.mkdir()
    return folder
