"""Archives of others: nothing leads out of the folder, nothing is a link, nothing is larger than allowed."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_cot.errors import DataError
from finetune_cot.tasks.archives import Limits, is_archive, unpacked

FILES = {"data/dataset/a.json": b"a" * 100, "data/split/b.json": b"b", "README.md": b"no"}


def everything(_: str) -> bool:
    return True


def zipped(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes] = FILES, *more: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for entry in more:
            archive.addfile(entry)
    return path


def contents(archive: Path, wanted: Callable[[str], bool] = everything) -> dict[str, bytes]:
    with unpacked(archive, wanted) as folder:
        found = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("name", ["a.zip", "A.ZIP", "a.tar", "a.tar.gz", "a.tgz"])
def test_wanted_files_are_unpacked(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert is_archive(path)
    (zipped if name.lower().endswith("zip") else tarred)(path)
    assert contents(path) == FILES
    assert contents(path, lambda name: name.endswith(".json")).keys() == FILES.keys() - {"README.md"}


def test_the_folder_is_gone_afterwards(tmp_path: Path) -> None:
    with unpacked(zipped(tmp_path / "a.zip"), everything) as folder:
        assert folder.is_dir()
    assert not folder.exists()


@pytest.mark.parametrize(
    "name", ["../out.json", "/etc/out.json", "a/../../out.json", "..\\out.json", "C:\\x"]
)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_names_that_lead_out_are_refused(tmp_path: Path, make: Callable[..., Path], name: str) -> None:
    path = make(tmp_path / ("a.zip" if make is zipped else "a.tar"), {name: b"x"})
    with pytest.raises(DataError, match="leads out of the archive's folder: nothing was imported"):
        contents(path, lambda _: False)
    assert not (tmp_path.parent / "out.json").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    entry = tarfile.TarInfo("dataset/a.json")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with pytest.raises(DataError, match=r"dataset/a\.json: is a link or a device"):
        contents(tarred(tmp_path / "a.tar", {}, entry))


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("dataset/a.json")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="is a link or a device"):
        contents(tmp_path / "a.zip")


@pytest.mark.parametrize("make", [zipped, tarred])
def test_bombs_are_stopped(tmp_path: Path, make: Callable[..., Path]) -> None:
    suffix = "zip" if make is zipped else "tgz"
    bomb = make(tmp_path / f"bomb.{suffix}", {"a.json": bytes(30 * 2**20)})
    assert bomb.stat().st_size < 2**18
    limits = Limits(member_bytes=2**20)
    with (
        pytest.raises(DataError, match="unpacks to more than 1048576 bytes"),
        unpacked(bomb, everything, limits),
    ):
        pass
    many = make(tmp_path / f"many.{suffix}", {f"{number}": b"" for number in range(20)})
    with (
        pytest.raises(DataError, match="holds more than 10 files"),
        unpacked(many, everything, Limits(members=10)),
    ):
        pass
    both = make(tmp_path / f"both.{suffix}", {"a": bytes(600), "b": bytes(600)})
    with pytest.raises(DataError, match="unpacks to more than 400 bytes"):  # noqa: SIM117
        with unpacked(both, everything, Limits(total_bytes=1000)):
            pass


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_torn_archives_are_named(tmp_path: Path, name: str) -> None:
    path = (zipped if name == "a.zip" else tarred)(tmp_path / name)
    whole = path.read_bytes()
    cuts = [1024, 1200, 1536, 2000] if name == "a.tar" else [1, len(whole) // 2, len(whole) - 1]
    for content in (*(whole[:cut] for cut in cuts), b"", b"no archive" * 100):
        path.write_bytes(content)
        with pytest.raises(
            DataError, match=r"a\.(zip|tar|tar\.gz): (is torn or no archive|cannot be unpacked)"
        ):
            contents(path)
    with pytest.raises(DataError, match="cannot be unpacked: No such file"):
        contents(tmp_path / f"none-{name}")


def test_an_encrypted_zip_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.json": b"x" * 20})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag of the file's own header, and of the directory's
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        contents(path)
