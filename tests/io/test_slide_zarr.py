"""OME-Zarr is read chunk by chunk, and a chunk that is missing is no chunk of zeros."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_slides import tissue

from dgno.errors import InputChanged, InputError, UnreadableInput
from dgno.io.open_slide import is_slide, open_slide
from dgno.io.slide import Slide

zarr = pytest.importorskip("zarr")


def write_zarr(
    folder: Path,
    full: np.ndarray,
    *,
    axes: str = "yx",
    version: str = "0.5",
    sharded: bool = False,
    chunk: int = 64,
    unit: str | None = "micrometer",
    scale: float = 0.25,
    dgno: dict[str, Any] | None = None,
    **omero: Any,  # of the attribute of that name
) -> list[np.ndarray]:
    """Two levels; gives their pixels. Chunks hold one plane."""
    form = 3 if version == "0.5" else 2
    levels = [full, full[..., ::2, ::2]]
    group = zarr.open_group(str(folder), mode="w", zarr_format=form)
    for number, pixels in enumerate(levels):
        chunks = (1,) * (pixels.ndim - 2) + (chunk, chunk)
        shards = {"shards": (1,) * (pixels.ndim - 2) + (2 * chunk, 2 * chunk)} if sharded else {}
        keys = {} if form == 3 else {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        array = group.create_array(str(number), shape=pixels.shape, chunks=chunks, dtype=pixels.dtype, **shards, **keys)
        array[...] = pixels
    described = [
        {"name": a, "type": "space" if a in "zyx" else a} | ({"unit": unit} if unit and a in "zyx" else {})
        for a in axes
    ]
    fixed = [1.0] * (len(axes) - 2)
    scales = [[*fixed, scale * 2**n, scale * 2**n * 2] for n in range(2)]
    datasets = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": scales[n]}]} for n in range(2)
    ]
    inner: dict[str, Any] = {"multiscales": [{"axes": described, "datasets": datasets, "version": version}]}
    inner |= {"omero": omero} if omero else {}
    own = {"dgno": dgno} if dgno else {}
    group.attrs.update(own | ({"ome": inner | {"version": version}} if form == 3 else inner))
    return levels


def whole(slide: Slide, *, level: int = 0, plane: int = 0) -> np.ndarray:
    height, width = slide.levels[level].shape
    return slide.read((0, height), (0, width), level=level, plane=plane)


@pytest.mark.parametrize(("version", "sharded"), [("0.4", False), ("0.5", False), ("0.5", True)])
def test_planes_of_every_version(tmp_path: Path, version: str, sharded: bool) -> None:
    full = np.stack([tissue(300, 200, samples=1, dtype="uint16") // (n + 1) for n in range(6)]).reshape(2, 3, 300, 200)
    names = [{"label": name} for name in ("DAPI", "GFP", "Cy5")]
    levels = write_zarr(tmp_path / "x.zarr", full, axes="tcyx", version=version, sharded=sharded, channels=names)
    assert is_slide(tmp_path / "x.zarr")
    with open_slide(tmp_path / "x.zarr") as slide:
        facts = slide.facts
        assert (slide.format, slide.reader, facts.properties["ngff.version"]) == ("ome-zarr", "zarr", version)
        assert (facts.axes, facts.sizes, facts.samples, facts.dtype) == ("TC", (2, 3), 1, np.dtype("uint16"))
        assert facts.pixel_size == (0.25, 0.5) and facts.channel_names == ("DAPI", "GFP", "Cy5")
        assert facts.value_range == (0, 65535)
        assert slide.levels[0].compression == ("blosc" if version == "0.4" else "zstd")
        assert [(level.shape, level.downsample, level.block) for level in slide.levels] == [
            ((300, 200), 1.0, (64, 64)),
            ((150, 100), 2.0, (64, 64)),
        ]
        for number, pixels in enumerate(levels):
            for plane in range(6):
                wanted = pixels.reshape(6, *pixels.shape[-2:])[plane]
                np.testing.assert_array_equal(whole(slide, level=number, plane=plane)[..., 0], wanted)
        np.testing.assert_array_equal(slide.read((60, 131), (63, 65), plane=4)[..., 0], full[1, 1, 60:131, 63:65])


def test_colours_where_our_own_attribute_says_so(tmp_path: Path) -> None:
    full = np.moveaxis(tissue(150, 140), -1, 0)
    write_zarr(tmp_path / "channels", full, axes="cyx")
    write_zarr(tmp_path / "colours", full, axes="cyx", dgno={"samples": 3})
    with open_slide(tmp_path / "channels") as slide:
        assert (slide.facts.samples, slide.facts.axes, slide.facts.sizes) == (1, "C", (3,))
    with open_slide(tmp_path / "colours") as slide:
        assert (slide.facts.samples, slide.facts.axes, slide.facts.sizes) == (3, "", ())
        np.testing.assert_array_equal(whole(slide), np.moveaxis(full, 0, -1))


def test_sizes_without_a_unit_are_unknown(tmp_path: Path) -> None:
    for name, unit, size in (("none", None, None), ("nm", "nanometer", (0.25, 0.5)), ("odd", "parsec", None)):
        write_zarr(tmp_path / name, tissue(90, 80, samples=1), unit=unit, scale=250 if unit == "nanometer" else 0.25)
        with open_slide(tmp_path / name) as slide:
            assert slide.facts.pixel_size == size


def test_the_shared_sample(shared_data: Path) -> None:
    path = shared_data / "slides" / "image-02.ome.zarr"
    with open_slide(path) as slide:
        assert slide.facts.dtype == np.float64 and slide.facts.pixel_size == (1, 1)
        np.testing.assert_array_equal(whole(slide)[..., 0], zarr.open_array(str(path / "0"), mode="r")[...])


def chunks(folder: Path, level: str = "0") -> list[Path]:
    names = (".zarray", ".zattrs", "zarr.json")
    return sorted(file for file in (folder / level).rglob("*") if file.is_file() and file.name not in names)


KINDS = pytest.mark.parametrize(("version", "sharded"), [("0.4", False), ("0.5", False), ("0.5", True)])


@KINDS
def test_a_missing_chunk_is_an_error(tmp_path: Path, version: str, sharded: bool) -> None:
    folder = tmp_path / "x.zarr"
    write_zarr(folder, tissue(300, 200, samples=1), version=version, sharded=sharded)
    chunks(folder)[0].unlink()
    with open_slide(folder) as slide:
        with pytest.raises(UnreadableInput, match=r"row 0, column 0 of the slide.*is missing.*mask") as caught:
            whole(slide)
        assert caught.value.path == folder
        slide.read((128, 300), (128, 200))
        assert not slide.is_blank((0, 64), (0, 64))
    with open_slide(folder, on_bad_tile="mask") as slide:
        assert (slide.read((0, 64), (0, 64)) == slide.facts.fill).all()
        assert [(tile.rows, tile.columns) for tile in slide.bad_tiles] == [((0, 64), (0, 64))]


def test_a_chunk_missing_inside_a_shard_is_an_error(tmp_path: Path) -> None:
    full = tissue(256, 256, samples=1)
    full[64:128, :64] = 0  # zarr leaves it out
    write_zarr(tmp_path / "x", full, sharded=True)
    with open_slide(tmp_path / "x") as slide:
        slide.read((0, 64), (0, 256))
        with pytest.raises(UnreadableInput, match="row 1, column 0 of the slide"):
            slide.read((64, 65), (0, 1))


def mark_complete(folder: Path, left_out: list[str]) -> None:
    sums = {
        f"{f.relative_to(folder)}": f"{zlib.crc32(f.read_bytes()):08x}" for f in chunks(folder) + chunks(folder, "1")
    }
    (folder / "complete.json").write_text(json.dumps({"chunks": sums | dict.fromkeys(left_out)}))


def test_chunks_that_were_left_out_on_purpose_are_blank(tmp_path: Path) -> None:
    full = tissue(200, 190, samples=1)
    full[64:128, :64] = 0
    write_zarr(tmp_path / "x", full)
    mark_complete(tmp_path / "x", ["0/c/1/0"])
    with open_slide(tmp_path / "x") as slide:
        np.testing.assert_array_equal(whole(slide)[..., 0], full)
        assert slide.is_blank((64, 128), (0, 64)) and not slide.is_blank((63, 128), (0, 64))
    chunks(tmp_path / "x")[0].unlink()
    with open_slide(tmp_path / "x") as slide, pytest.raises(UnreadableInput, match="the chunk 0/c/0/0 is missing"):
        slide.read((0, 5), (0, 5))


def test_a_chunk_that_changed_since_it_was_written_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    write_zarr(folder, tissue(200, 190, samples=1))
    mark_complete(folder, [])
    with open_slide(folder) as slide:
        whole(slide)
    shutil.copy(chunks(folder)[3], chunks(folder)[4])  # another one, whole in itself
    with open_slide(folder) as slide, pytest.raises(UnreadableInput, match="has changed since it was written"):
        whole(slide)


def edited(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        change(document)
        (folder / name).write_text(json.dumps(document))

    return apply


def multiscale(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    return edited("zarr.json", lambda document: change(document["attributes"]["ome"]["multiscales"][0]))


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        file = chunks(folder)[4]
        file.write_bytes(change(file.read_bytes()))

    return apply


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no metadata": (lambda f: (f / "zarr.json").unlink(), "E-IN-NOTFILE"),
    "no metadata of a level": (lambda f: (f / "1/zarr.json").unlink(), "E-IN-CORRUPT"),
    "no JSON": (lambda f: (f / "zarr.json").write_text("{"), "E-IN-CORRUPT"),
    "a list": (lambda f: (f / "zarr.json").write_text("[]"), "E-IN-CORRUPT"),
    "deep": (lambda f: (f / "zarr.json").write_text("[" * 100_000), "E-IN-CORRUPT"),
    "large": (lambda f: (f / "zarr.json").write_text(" " * (2**24 + 9)), "E-IN-TOOLARGE"),
    "no image": (edited("zarr.json", lambda d: d.__setitem__("attributes", {})), "E-IN-FORMAT"),
    "no datasets": (multiscale(lambda m: m.__setitem__("datasets", [])), "E-IN-CORRUPT"),
    "outside": (multiscale(lambda m: m["datasets"][0].__setitem__("path", "../y/0")), "E-IN-CORRUPT"),
    "odd axes": (multiscale(lambda m: m["axes"][0].__setitem__("name", "q")), "E-IN-UNSUPPORTED"),
    "axes missing": (multiscale(lambda m: m["axes"].insert(0, {"name": "c"})), "E-IN-CORRUPT"),
    "other shape": (edited("0/zarr.json", lambda d: d.__setitem__("shape", [128, 128])), "E-IN-CORRUPT"),
    "larger shape": (edited("0/zarr.json", lambda d: d.__setitem__("shape", [400, 400])), "E-IN-CORRUPT"),
    "other chunks": (
        edited("0/zarr.json", lambda d: d["chunk_grid"]["configuration"].__setitem__("chunk_shape", [100, 64])),
        "E-IN-CORRUPT",
    ),
    "unknown codec": (edited("0/zarr.json", lambda d: d["codecs"].append({"name": "alchemy"})), "E-IN-CODEC"),
    "text": (edited("0/zarr.json", lambda d: d.__setitem__("data_type", "string")), "E-IN"),
    "cut chunk": (damaged(lambda data: data[: len(data) // 2]), "E-IN-CORRUPT"),
    "erased chunk": (damaged(lambda data: bytes(len(data))), "E-IN-CORRUPT"),
    "empty chunk": (damaged(lambda data: b""), "E-IN-CORRUPT"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_broken_stores_are_refused(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "x"
    write_zarr(folder, tissue(300, 200, samples=1))
    break_it, code = FAULTS[fault]
    break_it(folder)
    with pytest.raises(InputError) as caught, open_slide(folder) as slide:
        for level in range(2):
            whole(slide, level=level)
    assert caught.value.code.startswith(code) and caught.value.path == folder, caught.value


def test_a_flipped_bit_that_a_checksum_covers_is_named(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "x"), mode="w", zarr_format=3)
    array = group.create_array("0", shape=(128, 128), chunks=(64, 64), dtype="uint8",
                               compressors=[zarr.codecs.ZstdCodec(), zarr.codecs.Crc32cCodec()])  # fmt: skip
    array[...] = tissue(128, 128, samples=1)
    axes = [{"name": "y"}, {"name": "x"}]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}], "version": "0.5"}
    file = chunks(tmp_path / "x")[3]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with open_slide(tmp_path / "x") as slide, pytest.raises(UnreadableInput, match="row 1, column 1 of the slide"):
        whole(slide)


def test_flipped_bytes_of_the_metadata_end_in_pixels_or_in_an_error_of_ours(tmp_path: Path) -> None:
    folder, rng = tmp_path / "x", np.random.default_rng(0)
    write_zarr(folder, tissue(100, 90, samples=1))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for name in ("zarr.json", "0/zarr.json"):
        good = (folder / name).read_bytes()
        for _ in range(60):
            data = bytearray(good)
            data[int(rng.integers(len(data)))] ^= int(rng.integers(1, 256))
            (folder / name).write_bytes(data)
            try:
                with open_slide(folder) as slide:
                    slide.read((0, 20), (0, 20))
            except InputError as error:
                assert error.path == folder, error
        (folder / name).write_bytes(good)
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208 - zarr's own loop


def test_a_chunk_that_changes_is_noticed(tmp_path: Path) -> None:
    write_zarr(tmp_path / "x", tissue(100, 90, samples=1))
    with open_slide(tmp_path / "x") as slide:
        before = slide.fingerprint()
        slide.check_unchanged(before)
        file = chunks(tmp_path / "x")[1]
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        with pytest.raises(InputChanged):
            slide.check_unchanged(before)
