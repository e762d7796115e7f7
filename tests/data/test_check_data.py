"""`dgno check-data`: all that a data set holds is counted, and all that is wrong with it is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from set_maker import save, texture

from dgno.cli.main import status_of

Check = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Run the verb: exit status, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = status_of(["check-data", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Three pairs to train on and two to test with."""
    for i in range(5):
        place = tmp_path / "set" / ("train" if i < 3 else "test")
        save(place / "sharp" / f"{i}.png", texture(i))
        save(place / "blur" / f"{i}.png", texture(i) // 2 + 3)
    return tmp_path / "set"


def facts_of(out: str) -> dict[str, Any]:  # what the command printed
    return json.loads(out)


def test_a_good_set(check: Check, good: Path) -> None:
    (good / "README.txt").write_text("x")
    status, out, err = check(good, "--json")
    facts = facts_of(out)
    assert (status, err) == (0, "")
    assert facts["layout"] == "folder-pair"
    assert facts["pairs"] == facts["groups"] == {"train": 3, "test": 2}
    assert (facts["images"], facts["sizes"], facts["dtypes"]) == (10, {"80 x 64": 10}, {"uint8": 10})
    assert facts["problems"] == facts["constant"] == [] and facts["shifts"] == {}
    assert [Path(path).name for path in facts["other files"]] == ["README.txt"]


def test_the_table_is_lined_up(check: Check, good: Path) -> None:
    status, out, err = check(good)
    lines = out.splitlines()
    assert status == 0 and err == ""
    assert lines[0].startswith(str(good.parent.parent)[:9]) and "folder-pair" in out
    rows = lines[next(i for i, line in enumerate(lines) if line.startswith("pairs")) :]
    assert len({len(line.rstrip()) for line in rows}) == 1  # numbers end in one column
    table = {line.rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in rows}
    assert table["pairs, train"] == "3" and table["groups, test"] == "2" and table["images"] == "10"
    assert table["sizes, 80 x 64"] == "10" and table["dtypes, uint8"] == "10" and table["problems"] == "0"


def faulty(out: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The facts of a set with problems, and for every file its code."""
    error = facts_of(out)
    assert error["code"] == "E-BATCH"
    (facts,) = error["results"]
    return facts, {Path(p["path"]).name: p["code"] for p in facts["problems"] if p["path"]}


def test_every_broken_file_is_named_and_the_others_are_read(check: Check, good: Path) -> None:
    (good / "train/blur/0.png").write_bytes((good / "train/blur/0.png").read_bytes()[:-900])
    (good / "train/sharp/1.png").write_bytes(b"")
    (good / "test/blur/3.png").write_text("no image")
    save(good / "test/blur/4.png", texture(4, (64, 81)))
    status, out, err = check(good, "--json")
    facts, codes = faulty(out)
    assert status == 7 and "E-BATCH" in err
    assert codes == {"0.png": "E-IN-TRUNC", "1.png": "E-IN-EMPTY", "3.png": "E-IN-FORMAT", "4.png": "E-CONFIG"}
    assert facts["images"] == 10 and sum(facts["sizes"].values()) == 7
    status, out, err = check(good, "--quiet")
    assert status == 7 and out
    assert all(name in err for name in codes)


def test_not_finite_pixels_are_named(check: Check, good: Path) -> None:
    shutil.rmtree(good / "test")
    for i in range(3):
        for side in ("sharp", "blur"):
            (good / "train" / side / f"{i}.png").unlink()
            values = texture(i).astype(np.float32)
            values[3, 4] = np.nan if (i, side) == (1, "blur") else 0
            tifffile.imwrite(good / "train" / side / f"{i}.tif", values)
    status, out, _ = check(good, "--json")
    assert status == 7
    assert faulty(out)[1] == {"1.tif": "E-IN-NONFINITE"}


def test_constant_and_shifted_images_are_told(check: Check, good: Path) -> None:
    """They can be used, so the set is not refused."""
    save(good / "train/blur/0.png", np.full((64, 80), 9, np.uint8))
    save(good / "train/blur/1.png", np.roll(texture(1), (2, -3), axis=(0, 1)))
    status, out, err = check(good, "--json")
    facts = facts_of(out)
    assert status == 0 and err == ""
    assert [Path(path).name for path in facts["constant"]] == ["0.png"]
    np.testing.assert_allclose(facts["shifts"]["train/1"], [-2, 3], atol=0.3)
    assert list(facts["shifts"]) == ["train/1"]
    _, _, err = check(good)
    assert "constant: " in err and "shifted: train/1: -1.9" in err


@pytest.mark.parametrize("flipped", [False, True])
def test_leaks_are_told(check: Check, good: Path, flipped: bool) -> None:
    image = texture(0)[::-1] if flipped else texture(0)
    save(good / "test/sharp/9.png", image)
    save(good / "test/blur/9.png", image // 2 + 3)
    status, out, _ = check(good, "--json")
    facts, codes = faulty(out)
    assert status == 7 and codes == {"9.png": "E-LEAK"}
    kinds = {problem["message"].split(" in test and train")[0] for problem in facts["problems"]}
    assert kinds == ({"near duplicate"} if flipped else {"copy", "near duplicate"})


def test_masks_are_looked_at(check: Check, good: Path) -> None:
    save(good / "train/mask/0.png", texture(0, (64, 80)))
    save(good / "train/mask/1.png", texture(0, (32, 40)))
    (good / "train/mask/2.png").write_text("x")
    status, out, _ = check(good, "--json")
    assert status == 7
    assert faulty(out)[1] == {"1.png": "E-CONFIG", "2.png": "E-IN-FORMAT"}


def test_wrong_channels_of_a_published_set(check: Check, tmp_path: Path) -> None:
    for side in ("source", "target"):
        save(tmp_path / side / "1.png", texture(1, (30, 40, 3)))
        save(tmp_path / side / "2.png", texture(2, (30, 40)))
    status, out, _ = check(tmp_path, "--layout", "realdof", "--json")
    facts, codes = faulty(out)
    assert status == 7 and codes == {"2.png": "E-IN-UNSUPPORTED"}
    assert facts["published pairs"] == {"test": 50}
    assert facts["sizes"] == {"40 x 30 x 3": 2, "40 x 30": 2}


def test_stacks_manifests_and_sharp_images(check: Check, tmp_path: Path) -> None:
    stack = np.stack([texture(1) // (1 + z) for z in range(4)])
    (tmp_path / "stack").mkdir()
    tifffile.imwrite(tmp_path / "stack" / "s.tif", stack, photometric="minisblack", metadata=None)
    facts = facts_of(check(tmp_path / "stack", "--layout", "z-stack", "--json")[1])
    assert (facts["images"], facts["pairs"]) == (4, {"": 3})
    (tmp_path / "pairs.csv").write_text("input,target\nstack/s.tif,stack/s.tif\n")
    status, out, _ = check(tmp_path / "pairs.csv", "--json")
    assert status == 7 and faulty(out)[1] == {"s.tif": "E-IN-UNSUPPORTED"}
    save(tmp_path / "sharp" / "a.png", texture(3))
    facts = facts_of(check(tmp_path / "sharp", "--layout", "self-blur", "--json")[1])
    assert (facts["images"], facts["pairs"]) == (1, {"": 1})


@pytest.mark.parametrize(("arguments", "status", "said"), [
    (["nowhere"], 3, "E-IN-MISSING"),
    (["."], 2, "the layout of the folder is not known"),
    ([".", "--layout", "dpd"], 2, "did you mean 'dpdd'"),
    ([".", "--layout", "folder-pair"], 2, "it has none of the folders blurred"),
    ([], 2, "E-USAGE"),
])  # fmt: skip
def test_what_cannot_be_read_at_all(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found, _, err = check(*arguments)
    assert found == status and said in err


def test_an_orphan_is_named(check: Check, good: Path) -> None:
    save(good / "test/blur/orphan.png", texture(9))
    status, out, err = check(good, "--json")
    assert status == 2 and "orphan.png" in err
    assert facts_of(out)["code"] == "E-CONFIG"


def test_help_has_an_example(check: Check) -> None:
    assert "Example: dgno check-data" in check("--help")[1]
