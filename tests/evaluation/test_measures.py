"""Measures beside PSNR and SSIM: what they are of, where they are not defined, and how they are summed up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from pair_maker import MakePairs
from safetensors.torch import load_file, save_file
from torch import Tensor

from dgno.arrays import Image
from dgno.data.records import Record
from dgno.errors import ConfigError, MissingInput
from dgno.evaluation.backbone import wanted_tensors
from dgno.evaluation.compare import Score, compare, prepared_planes, unchanged
from dgno.evaluation.measures import ALL, LPIPS, MEASURES, chosen_measures
from dgno.evaluation.protocols import DGNO, PROTOCOLS, Prepared
from dgno.evaluation.summaries import Spread, skipped, summarise, table
from dgno.metrics import edge_psnr, gmsd, lpips, mae, ms_ssim


def pair_of(*shape: int, seed: int = 0) -> tuple[Image, Image]:
    """Blocks of several grays, and the same with noise and less contrast."""
    rng = np.random.default_rng(seed)
    h, w = shape[:2]
    sharp = np.kron(rng.random((-(-h // 16), -(-w // 16), *shape[2:])), np.ones((16, 16, *[1] * len(shape[2:]))))
    sharp = sharp[:h, :w].astype(np.float32)
    restored = (0.7 * sharp + 0.1 + rng.normal(0, 0.03, shape)).astype(np.float32)
    axes = "YXS" if len(shape) == 3 else "YX"
    return Image(restored, axes, (0.0, 1.0)), Image(sharp, axes, (0.0, 1.0))


def measured(restored: Image, sharp: Image, name: str, protocol: str = "dgno") -> float | None:
    (plane,) = prepared_planes(restored, sharp, PROTOCOLS[protocol])
    return MEASURES[name].of(plane)


@pytest.mark.parametrize("shape", [(190, 181), (177, 200, 3)], ids=["gray", "colour"])
def test_each_is_the_measure_of_its_name(shape: tuple[int, ...]) -> None:
    """By numpy where that is short, else by the function of `dgno.metrics` on tensors made here."""
    restored, sharp = pair_of(*shape)
    a, b = (x.pixels.astype(np.float64).clip(0, 1) for x in (restored, sharp))
    x, y = (torch.from_numpy(np.moveaxis(np.atleast_3d(v), -1, 0)) for v in (a, b))
    fit = np.polyfit(a.ravel(), b.ravel(), 1)
    expected = {
        "mae": np.abs(a - b).mean(),
        "affine-psnr": -10 * math.log10(np.square(np.polyval(fit, a) - b).mean()),
        "ms-ssim": ms_ssim(x, y),
        "gmsd": gmsd(x, y),
    }
    for suffix, radius in (("", 3), ("-r1", 1), ("-r5", 5)):
        edges = edge_psnr(x, y, radius)
        expected[f"edge-psnr{suffix}"], expected[f"non-edge-psnr{suffix}"] = edges.edge, edges.elsewhere
        expected[f"edge-share{suffix}"] = edges.share
    assert expected.keys() == MEASURES.keys()
    for name, value in expected.items():
        assert measured(restored, sharp, name) == pytest.approx(value, abs=1e-5), name


def test_an_affine_map_is_no_error_of_the_affine_psnr_only() -> None:
    """Nor is a constant image an error of the program: its best fit is the mean."""
    _, sharp = pair_of(40, 50)
    darker = sharp.with_pixels(sharp.pixels / 2 + np.float32(0.1))
    assert measured(darker, sharp, "affine-psnr") > 100
    assert measured(darker, sharp, "mae") > 0.05
    flat = sharp.with_pixels(np.full_like(sharp.pixels, 0.9))
    assert measured(flat, sharp, "affine-psnr") == pytest.approx(-10 * math.log10(sharp.pixels.var()), abs=1e-4)


@pytest.mark.parametrize("name", MEASURES)
def test_they_are_of_the_arrays_that_the_protocol_compares(name: str) -> None:
    """Less than half a level is nothing where levels are rounded, and what is cut does not count."""
    _, sharp = pair_of(200, 204)
    levels = replace(sharp, pixels=np.round(sharp.pixels * 254) / np.float32(255))
    nearly = levels.with_pixels(levels.pixels + np.float32(0.4 / 255))
    assert measured(nearly, levels, name, "gkmnet") == measured(levels, levels, name, "gkmnet")
    cut = levels.with_pixels(np.pad(levels.pixels[:, :200], ((0, 0), (0, 4))))
    assert measured(cut, levels, name, "mpt-eval") == measured(levels, levels, name, "mpt-eval")


def test_where_there_are_no_edges_none_is_told_and_counted(make_pairs: MakePairs) -> None:
    """The mean is over the other images; without any it is a dash, and null in JSON."""
    records = make_pairs(3, (48, 60))
    tifffile.imwrite(records[1].target, np.full((48, 60), 0.5, np.float32))
    wanted = chosen_measures(["edge-psnr", "edge-share"], DGNO)
    scores = compare(records, {"blurred": unchanged}, measures=wanted)
    assert [s.measures["edge-psnr"] is None for s in scores] == [False, True, False]
    (line,) = summarise(scores)
    spread = line.measures["edge-psnr"]
    assert (spread.n, spread.skipped) == (2, 1)
    assert spread.mean == pytest.approx(np.mean([scores[0].measures["edge-psnr"], scores[2].measures["edge-psnr"]]))
    assert skipped([line]) == ["edge-psnr: not defined for 1 of 3 images, which are left out of its mean"]
    (nothing,) = summarise(scores[1:2])
    assert math.isnan(nothing.measures["edge-psnr"].mean)
    assert table([nothing])[1][0][6:8] == [None, None]


def test_pooled_is_the_psnr_of_all_squared_errors(make_pairs: MakePairs) -> None:
    """Of the pixels of the bands of all images and planes together."""
    records = make_pairs(3, (48, 60))
    wanted = chosen_measures(["edge-psnr", "non-edge-psnr", "mae"], DGNO)
    (line,) = summarise(compare(records, {"blurred": unchanged}, measures=wanted))
    errors: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for record in records:
        blurred, sharp = (tifffile.imread(path) for path in (record.input, record.target))
        (plane,) = prepared_planes(Image(blurred, "YX", (0.0, 1.0)), Image(sharp, "YX", (0.0, 1.0)), DGNO)
        region = MEASURES["edge-psnr"].region
        assert region is not None
        band = region(plane).numpy()
        for inside in errors:
            errors[inside].append(np.square(blurred.astype(np.float64) - sharp)[band == inside])
    for name, inside in (("edge-psnr", True), ("non-edge-psnr", False)):
        expected = -10 * math.log10(np.concatenate(errors[inside]).mean())
        assert line.measures[name].pooled == pytest.approx(expected, abs=1e-4)
        assert line.measures[name].pooled != pytest.approx(line.measures[name].mean, abs=0.01)
    assert line.measures["mae"].pooled is None


def masked(record: Record, counted: np.ndarray) -> Record:
    path = record.target.with_name("mask.png")
    tifffile.imwrite(path.with_suffix(".tif"), counted.astype(np.uint8) * 255)
    return replace(record, mask=path.with_suffix(".tif"))


def test_what_the_mask_leaves_out_does_not_count(make_pairs: MakePairs) -> None:
    """Errors there change nothing; SSIM looks 5 px over its border, as its windows do."""
    (record,) = make_pairs(1, (48, 60))
    counted = np.zeros((48, 60), bool)
    counted[:, :30] = True
    record = masked(record, counted)
    names = [name for name in MEASURES if name not in ("ms-ssim", "gmsd")]

    def wrong(image: Image, record: Record) -> Image:
        pixels = image.pixels.copy()
        pixels[:, 36:] = 0
        return image.with_pixels(pixels)

    before, after = compare([record], {"blurred": unchanged, "wrong": wrong}, measures=chosen_measures(names, DGNO))
    assert (after.psnr, after.ssim) == pytest.approx((before.psnr, before.ssim), rel=1e-9)
    assert dict(after.measures) == pytest.approx(dict(before.measures), rel=1e-9)
    blurred, sharp = (tifffile.imread(path)[:, :30].astype(np.float64) for path in (record.input, record.target))
    assert before.psnr == pytest.approx(-10 * math.log10(np.square(blurred - sharp).mean()), abs=1e-4)
    (whole,) = compare([replace(record, mask=None)], {"blurred": unchanged})
    assert whole.psnr != pytest.approx(before.psnr, abs=1e-3)


@pytest.mark.parametrize("name", ["ms-ssim", "gmsd"])
def test_measures_of_rectangles_refuse_a_mask(make_pairs: MakePairs, name: str) -> None:
    (record,) = make_pairs(1, (180, 190))
    record = masked(record, np.eye(180, 190, dtype=bool))
    with pytest.raises(ConfigError, match=rf"{name} is not defined with a mask.*leave"):
        compare([record], {"blurred": unchanged}, measures=chosen_measures([name], DGNO))


def test_all_leaves_out_what_is_too_small(make_pairs: MakePairs) -> None:
    """Such a measure is not defined for the image, and counted; where it is asked for by name, it is an error."""
    records = make_pairs(2, (175, 180))
    tifffile.imwrite(records[1].input, np.zeros((176, 180), np.float32))
    tifffile.imwrite(records[1].target, np.full((176, 180), 0.5, np.float32))
    scores = compare(records, {"blurred": unchanged}, measures=chosen_measures([ALL], DGNO))
    assert [name for name, value in scores[0].measures.items() if value is None] == ["ms-ssim"]
    assert scores[1].measures["ms-ssim"] is not None
    (line,) = summarise(scores)
    assert "ms-ssim: not defined for 1 of 2 images, which are left out of its mean" in skipped([line])
    with pytest.raises(ConfigError, match="MS-SSIM"):
        compare(records, {"blurred": unchanged}, measures=chosen_measures([ALL, "ms-ssim"], DGNO))


def test_names() -> None:
    """Those that the protocol is published with come first; each once."""
    assert list(chosen_measures([], DGNO)) == []
    assert {name for name, p in PROTOCOLS.items() if "mae" in chosen_measures([], p)} == {
        "restormer-defocus", "restormer-dp16", "3dhistech",
    }  # fmt: skip
    assert list(chosen_measures(["gmsd", "mae", "gmsd"], PROTOCOLS["3dhistech"])) == ["mae", "gmsd"]
    assert list(chosen_measures([ALL], DGNO)) == list(MEASURES)
    with pytest.raises(ConfigError, match="measure is 'ms-sim', did you mean 'ms-ssim'"):
        chosen_measures(["ms-sim"], DGNO)
    with pytest.raises(ConfigError, match="LPIPS needs its weights; give their file"):
        chosen_measures([LPIPS], DGNO)


def weights_file(path: Path, **changed: Tensor | None) -> Path:
    """Random weights of LPIPS, those of some names changed or, for None, left out."""
    torch.manual_seed(0)
    tensors = {name: torch.rand(shape) - 0.3 for name, shape in wanted_tensors().items()}
    tensors |= {name: tensor for name, tensor in changed.items() if tensor is not None}
    save_file({name: t for name, t in tensors.items() if name not in changed or changed[name] is not None}, path)
    return path


def alexnet(path: Path) -> tuple[Callable[[Tensor], list[Tensor]], list[Tensor]]:
    """Maps and linear weights from the file, by modules that follow the published table of layers."""
    tensors = load_file(path)
    pool, relu = torch.nn.MaxPool2d(3, 2), torch.nn.ReLU()
    convolutions = [
        torch.nn.Conv2d(3, 64, 11, stride=4, padding=2),
        torch.nn.Conv2d(64, 192, 5, padding=2),
        torch.nn.Conv2d(192, 384, 3, padding=1),
        torch.nn.Conv2d(384, 256, 3, padding=1),
        torch.nn.Conv2d(256, 256, 3, padding=1),
    ]
    for i, (convolution, place) in enumerate(zip(convolutions, (0, 3, 6, 8, 10), strict=True), start=1):
        names = ("weight", "bias")
        convolution.load_state_dict({name: tensors[f"net.slice{i}.{place}.{name}"] for name in names})

    def maps(x: Tensor) -> list[Tensor]:
        found = []
        for i, convolution in enumerate(convolutions):
            x = relu(convolution(pool(x) if i in (1, 2) else x))
            found.append(x)
        return found

    return maps, [tensors[f"lin{i}.model.1.weight"].flatten() for i in range(5)]


@pytest.mark.parametrize("shape", [(33, 40), (64, 37, 3)], ids=["gray", "colour"])
def test_lpips_takes_weights_of_the_user(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """The number is that of AlexNet built of modules; "all" has it if the file is given."""
    file = weights_file(tmp_path / "alex.safetensors")
    wanted = chosen_measures([ALL], DGNO, lpips=file)
    assert list(wanted) == [*MEASURES, LPIPS]
    (plane,) = prepared_planes(*pair_of(*shape), DGNO)
    expected = lpips(plane.restored.float(), plane.sharp.float(), *alexnet(file))
    assert expected > 0
    assert wanted[LPIPS].of(plane) == pytest.approx(expected, rel=1e-5)
    assert wanted[LPIPS].of(replace(plane, restored=plane.sharp)) == 0


def test_weights_of_lpips_that_do_not_work(tmp_path: Path) -> None:
    with pytest.raises(MissingInput):
        chosen_measures([LPIPS], DGNO, lpips=tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match=r"no safetensors .*bad\.safetensors"):
        chosen_measures([LPIPS], DGNO, lpips=tmp_path / "bad.safetensors")
    for changed in (None, torch.rand(3)):
        file = weights_file(tmp_path / "other.safetensors", **{"lin3.model.1.weight": changed})
        with pytest.raises(ConfigError, match=r"1 tensors are missing .* lin3\.model\.1\.weight \(1, 256, 1, 1\)"):
            chosen_measures([LPIPS], DGNO, lpips=file)
    measure = chosen_measures([LPIPS], DGNO, lpips=weights_file(tmp_path / "good.safetensors"))[LPIPS]
    with pytest.raises(ConfigError, match="30 x 32 px, wanted at least 31"):
        measure.of(Prepared(torch.rand(1, 1, 30, 32), torch.rand(1, 1, 30, 32)))
    assert measure.of(Prepared(torch.rand(1, 1, 31, 31), torch.rand(1, 1, 31, 31))) is not None


def test_a_perfect_image_has_no_deviation_of_its_measures() -> None:
    scores = [Score(name, "m", 30.0, 0.9, 1.0, {"edge-psnr": value}) for name, value in (("a", math.inf), ("b", 30.0))]
    spread = summarise(scores)[0].measures["edge-psnr"]
    assert (spread.mean, spread.n) == (math.inf, 2)
    assert math.isnan(spread.sd)
    assert summarise(scores[1:])[0].measures["edge-psnr"] == Spread(30.0, 0.0, 1, 0)
    assert mae(torch.zeros(2), torch.ones(2)) == 1
