"""A store gives back what was written, in constant memory, and refuses whatever is torn or foreign."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from finetune_cot.artifacts import gradient_store as stores
from finetune_cot.artifacts.gradient_shards import _stored
from finetune_cot.artifacts.gradient_store import SampleRows, StoreHeader
from finetune_cot.artifacts.tensor_file import map_tensors, write_tensors
from finetune_cot.errors import ArtifactError

ORIGIN = {"model": "tiny", "adapter": "lora-r4", "data": "abc", "seed": "0"}
HEADER = StoreHeader(
    width=5,
    project_dim=5,
    projection="count-sketch",
    projection_seed=0,
    parameters=1000,
    points=("pretrained", "meta"),
    train_gradient="margin",
    dtype="float32",
    tasks=("addition", "dates", "sorting"),
    samples=10,
    shard_samples=4,
    origin=ORIGIN,
)
DISPLACEMENT = np.arange(10, dtype=np.float32).reshape(2, 5)
NORMS = np.array([1.0, 2.0], np.float32)


def rows_of(header: StoreHeader, positions: range) -> SampleRows:
    """Samples whose numbers are a function of their position alone."""
    place = np.array(positions)
    random = [np.random.default_rng(position) for position in positions]
    shape = (len(header.points), header.width)
    return SampleRows(
        features=np.stack([r.normal(size=shape).astype(np.float32) for r in random], axis=1),
        sample_index=place * 7,
        task=place % len(header.tasks),
        is_dev=place % 2 == 1,
        tokens=place + 1,
        losses=np.stack([place + 0.5] * len(header.points), axis=1),
        margins=np.stack([place - 0.5] * len(header.points), axis=1),
    )


def write(folder: Path, header: StoreHeader, numbers: range | None = None) -> None:
    stores.begin_store(folder, header)
    for number in range(header.shards) if numbers is None else numbers:
        rows = rows_of(header, stores.shard_positions(header, number))
        stores.write_shard(folder, header, number, rows)


def finished(folder: Path, header: StoreHeader = HEADER) -> Path:
    write(folder, header)
    stores.finish_store(folder, header, np.resize(DISPLACEMENT, (2, header.width)), NORMS)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_gives_back_what_was_written(tmp_path: Path) -> None:
    store = stores.open_store(finished(tmp_path / "store"), ORIGIN)
    whole = rows_of(HEADER, range(10))
    assert store.header == HEADER
    for name in ("sample_index", "task", "is_dev", "tokens", "losses", "margins"):
        np.testing.assert_array_equal(getattr(store, name), getattr(whole, name))
    for point in (0, 1):
        np.testing.assert_array_equal(store.features(slice(None), point), whole.features[point])
    np.testing.assert_array_equal(store.displacement, DISPLACEMENT)
    np.testing.assert_array_equal(store.weight_norms, NORMS)


def test_features_come_in_the_order_asked_for(tmp_path: Path) -> None:
    store = stores.open_store(finished(tmp_path / "store"))
    whole = rows_of(HEADER, range(10)).features[1]
    for rows in (np.array([9, 0, 4, 0, 3]), np.array([], int), store.is_dev, slice(8, 2, -3), np.array([-1])):
        np.testing.assert_array_equal(store.features(rows, 1), whole[rows])
    with pytest.raises(IndexError):
        store.features(np.array([10]), 0)


def test_shards_are_safetensors_files(tmp_path: Path) -> None:
    folder = finished(tmp_path / "store")
    tensors = safetensors.numpy.load_file(stores.shard_path(folder, 2))
    np.testing.assert_array_equal(tensors["sample_index"], [56, 63])
    assert tensors["features"].shape == (2, 2, 5)


def test_ranks_write_the_files_of_a_single_process(tmp_path: Path) -> None:
    finished(tmp_path / "one")
    for shards in (range(1, 3, 2), range(0, 3, 2)):
        write(tmp_path / "two", HEADER, shards)
    stores.finish_store(tmp_path / "two", HEADER, DISPLACEMENT, NORMS)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@given(samples=st.integers(1, 40), shard_samples=st.integers(1, 50))
def test_every_position_lies_in_one_shard(samples: int, shard_samples: int) -> None:
    header = replace(HEADER, samples=samples, shard_samples=shard_samples)
    positions = [p for number in range(header.shards) for p in stores.shard_positions(header, number)]
    assert positions == list(range(samples))
    assert not stores.shard_positions(header, header.shards)


@settings(max_examples=50)
@given(
    arrays.arrays(np.float32, (1, 3, 4), elements=st.floats(-1, 1, width=32)),
    arrays.arrays(np.int32, (1, 3, 1), elements=st.integers(-100, 120)),
)
def test_float16_neither_overflows_nor_flushes(numbers: Any, exponents: Any) -> None:
    features = np.ldexp(numbers, exponents)
    stored, scales = _stored(features, "float16")
    found = stored.astype(np.float32) * scales[..., None]
    largest = np.abs(features).max(axis=2, keepdims=True)
    # Half of the last of 11 bits, and 2^-39 of the row's largest number where float16 is subnormal.
    assert (np.abs(found - features) <= 2**-11 * np.abs(features) + 2**-38 * largest + 1e-44).all()


def test_float16_store_is_read_as_float32(tmp_path: Path) -> None:
    header = replace(HEADER, dtype="float16")
    store = stores.open_store(finished(tmp_path / "store", header))
    found, whole = store.features(slice(None), 0), rows_of(header, range(10)).features[0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, whole, rtol=2**-10)


@pytest.mark.parametrize("array", ["features", "losses", "margins"])
def test_what_is_not_finite_is_refused_by_sample(tmp_path: Path, array: str) -> None:
    rows = rows_of(HEADER, range(4, 8))
    getattr(rows, array).reshape(-1)[-1] = np.nan
    stores.begin_store(tmp_path, HEADER)
    with pytest.raises(
        ArtifactError, match="of sample 49 of task dates at point meta is not a finite number"
    ):
        stores.write_shard(tmp_path, HEADER, 1, rows)
    assert stores.missing_shards(tmp_path, HEADER) == (0, 1, 2)


def test_rows_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="of shard 2 have shape"):
        stores.write_shard(tmp_path, HEADER, 2, rows_of(HEADER, range(4)))


def test_resuming_remakes_what_is_missing_torn_or_edited(tmp_path: Path) -> None:
    header = replace(HEADER, shard_samples=2)
    write(tmp_path, header)
    whole = contents(tmp_path)
    paths = [stores.shard_path(tmp_path, number) for number in range(5)]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:-3])
    edited = bytearray(paths[2].read_bytes())
    edited[-9] ^= 1
    paths[2].write_bytes(edited)
    paths[3].write_bytes(b"")
    # A kill while writing leaves a temporary file of a process that no longer runs.
    leftover = paths[0].with_name(f".{paths[0].name}.tmp-4194305")
    leftover.write_bytes(b"half a shard")
    assert stores.missing_shards(tmp_path, header) == (0, 1, 2, 3)
    write(tmp_path, header, range(4))
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("damage", ["cut", "edit", "longer", "foreign", "missing", "garbage", "header"])
def test_verifying_names_the_damaged_shard(tmp_path: Path, damage: str) -> None:
    path = stores.shard_path(finished(tmp_path / "store"), 1)
    whole = path.read_bytes()
    finished(tmp_path / "other", replace(HEADER, origin={**ORIGIN, "seed": "1"}))
    damaged = {
        "cut": whole[:-1],
        "edit": whole[:-2] + bytes([whole[-2] ^ 1, whole[-1]]),
        "longer": whole + b"\0",
        "foreign": stores.shard_path(tmp_path / "other", 1).read_bytes(),
        "garbage": b"\xff" * 100,
        "header": whole[:8] + b"[]" + whole[10:],
    }
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged[damage])
    with pytest.raises(ArtifactError, match=r"000001\.safetensors: .*; run `ftcot grads` again"):
        stores.open_store(tmp_path / "store")
    if damage != "edit":
        store = stores.open_store(tmp_path / "store", verify=False)
        with pytest.raises(ArtifactError, match=r"000001\.safetensors"):
            store.features(np.array([5]), 0)


def test_a_shard_of_another_run_with_the_same_header_is_refused(tmp_path: Path) -> None:
    folder = finished(tmp_path / "store")
    path, own = stores.shard_path(folder, 1), stores.shard_path(folder, 1).read_bytes()
    other = replace(rows_of(HEADER, range(4, 8)), tokens=np.arange(4))
    stores.write_shard(folder, HEADER, 1, other)
    assert stores.missing_shards(folder, HEADER) == (1,)
    with pytest.raises(
        ArtifactError, match=r"000001\.safetensors: is a shard of another run; run `ftcot grads`"
    ):
        stores.open_store(folder)
    with pytest.raises(ArtifactError, match=r"000001\.safetensors: is a shard of another run"):
        stores.open_store(folder, verify=False).features(np.array([5]), 0)
    path.write_bytes(own)
    stores.open_store(folder)


def test_a_store_without_a_record_of_its_shards_still_opens(tmp_path: Path) -> None:
    folder = finished(tmp_path / "store")
    path = folder / "samples.safetensors"
    file = map_tensors(path, "")
    earlier = {name: np.array(values) for name, values in file.tensors.items() if name != "shard_checksums"}
    write_tensors(path, earlier, {"header": file.metadata["header"]})
    stores.write_shard(folder, HEADER, 1, replace(rows_of(HEADER, range(4, 8)), tokens=np.arange(4)))
    assert stores.open_store(folder).header == HEADER


@pytest.mark.parametrize("at", [0, 300, 700, -1])
def test_damaged_numbers_of_samples_are_refused(tmp_path: Path, at: int) -> None:
    path = finished(tmp_path / "store") / "samples.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ArtifactError, match=r"samples\.safetensors"):
        stores.open_store(tmp_path / "store")


@pytest.mark.parametrize("name", list(ORIGIN))
def test_a_foreign_store_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = finished(tmp_path / "store")
    other = {**ORIGIN, name: "another"}
    with pytest.raises(ArtifactError, match=f"another {name} \\({ORIGIN[name]}, not another\\)"):
        stores.open_store(folder, other)
    with pytest.raises(ArtifactError, match=f"another {name} "):
        stores.begin_store(folder, replace(HEADER, origin=other))
    stores.open_store(folder, {name: ORIGIN[name]})


def test_a_store_of_another_layout_is_not_gone_on_with(tmp_path: Path) -> None:
    write(tmp_path, HEADER, range(1))
    with pytest.raises(ArtifactError, match=r"another projection_seed \(0, not 1\)"):
        stores.begin_store(tmp_path, replace(HEADER, projection_seed=1))
    stores.begin_store(tmp_path, HEADER)
    assert stores.missing_shards(tmp_path, HEADER) == (1, 2)


def test_an_unfinished_store_is_not_opened(tmp_path: Path) -> None:
    write(tmp_path, HEADER, range(2))
    with pytest.raises(ArtifactError, match="is unfinished; run `ftcot grads` again"):
        stores.open_store(tmp_path)
    with pytest.raises(ArtifactError, match=r"000002\.safetensors: is missing"):
        stores.finish_store(tmp_path, HEADER, DISPLACEMENT, NORMS)
    with pytest.raises(ArtifactError, match="there are no gradients; run `ftcot grads` first"):
        stores.open_store(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "values",
    [[], {"schema_version": 2}, {"schema_version": 1}, {"schema_version": 1, "header": {"width": 3}}],
)
def test_a_header_of_another_form_is_refused(tmp_path: Path, values: Any) -> None:
    (tmp_path / "store.json").write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match=r"store\.json: is no .*--overwrite"):
        stores.open_store(tmp_path)


def test_two_writers_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with stores.writing_store(folder, HEADER) as missing:
        assert missing == (0, 1, 2)
        with (
            pytest.raises(ArtifactError, match="in use by `ftcot grads`"),
            stores.writing_store(folder, HEADER),
        ):
            pass
        write(folder, HEADER)
    with stores.writing_store(folder, HEADER) as missing:
        assert missing == ()


def test_a_full_disk_keeps_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, HEADER, range(1))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ArtifactError, match="No space left on device; free some space"):
            write(tmp_path, HEADER, range(1, 2))
    assert stores.missing_shards(tmp_path, HEADER) == (1, 2)
    assert [file.name for file in (tmp_path / "shards").iterdir()] == ["000000.safetensors"]


def test_replacing_waits_for_nobody_and_harms_nobody(tmp_path: Path) -> None:
    folder = finished(tmp_path / "g")
    before = contents(folder)
    with (
        stores.writing_store(folder, HEADER),
        pytest.raises(ArtifactError, match="is in use by `ftcot grads`"),
        stores.writing_store(folder, HEADER, replace=True),
    ):
        pass
    assert contents(folder) == before
    other = replace(HEADER, projection_seed=HEADER.projection_seed + 1)
    with stores.writing_store(folder, other, replace=True) as missing:
        assert missing == tuple(range(other.shards))


def test_reading_does_not_keep_the_store_in_memory(tmp_path: Path) -> None:
    header = replace(HEADER, width=4096, samples=6144, shard_samples=128, dtype="float16", points=("a",))
    stores.begin_store(tmp_path, header)
    shard_bytes = 128 * 4096 * 2
    for number in range(header.shards):
        positions = np.array(stores.shard_positions(header, number))
        rows = SampleRows(
            features=np.full((1, 128, 4096), number, np.float32),
            sample_index=positions,
            task=positions % 3,
            is_dev=positions % 2 == 0,
            tokens=positions,
            losses=np.zeros((128, 1)),
            margins=np.zeros((128, 1)),
        )
        stores.write_shard(tmp_path, header, number, rows)
    stores.finish_store(tmp_path, header, np.zeros((1, 4096)), np.zeros(1))
    before = resident_bytes()
    store = stores.open_store(tmp_path)
    largest = 0
    for start in range(0, header.samples, 64):
        assert (store.features(slice(start, start + 64), 0) == start // 128).all()
        largest = max(largest, resident_bytes() - before)
    assert header.shards * shard_bytes == 48 << 20
    assert largest < 16 << 20


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
