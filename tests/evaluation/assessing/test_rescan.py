"""Which slides should be scanned again, and in which order."""

from __future__ import annotations

import pytest

from dgno.errors import ConfigError
from dgno.evaluation.assessing.findings import Finding
from dgno.evaluation.assessing.rescan import RESCAN, Checked, Strength, is_wanted, rescan_lines


def checked(name: str, blurred: float, *, place: dict[str, int] | None = None, tissue: float = 0.5) -> Checked:
    label = " ".join(f"{axis} {n}" for axis, n in (place or {}).items())
    finding = Finding(
        input=name, scene=label, type="in focus", in_focus=True, confidence=0.9, tissue=tissue, blurred=blurred,
        unsure=0.0, in_focus_share=1 - blurred, defocus_share=0.1 * blurred, motion_share=0.9 * blurred,
        mixed_share=0.0, strength=3.0, strength_um=None, defocus=None,
    )  # fmt: skip
    return Checked(finding, place or {}, blurred)


def lines(found: list[Checked], failed: dict[str, dict[str, object]] | None = None, **options) -> list[dict]:
    strength = options.get("strength", Strength(0.0))
    head, *rest = rescan_lines(found, failed or {}, above=options.get("above", 0.2), strength=strength)
    assert head == list(RESCAN)
    assert all(len(line) == len(head) for line in rest)
    return [dict(zip(head, line, strict=True)) for line in rest]


def test_the_worst_come_first_then_the_empty_then_the_broken() -> None:
    found = [checked("a", 0.3), checked("b", 0.2), checked("c", 0.9), checked("d", 0.0, tissue=0.0)]
    result = lines(found, {"z": {"code": "E-IN-TRUNC", "message": "it ends"}, "e": {"code": "E", "message": "no"}})
    assert [line["input"] for line in result] == ["c", "a", "d", "e", "z"]
    assert result[0]["reason"] == "90% of the tissue is blurred, most of it motion"
    assert (result[4]["error"], result[4]["reason"]) == ("E-IN-TRUNC", "could not be assessed: it ends")
    assert [line["input"] for line in lines(found, above=0.5)] == ["c", "d"]
    assert "by 2 px or more" in lines(found, strength=Strength(2.0))[0]["reason"]


def test_of_a_stack_the_sharpest_plane_counts_and_of_moments_the_worst() -> None:
    stack = [checked("s", blurred, place={"t": t, "z": z}) for t, z, blurred in ((0, 0, 0.9), (0, 1, 0.1))]
    assert lines(stack) == []
    stack += [checked("s", blurred, place={"t": 1, "z": z}) for z, blurred in ((0, 0.6), (1, 0.5))]
    (line,) = lines(stack)
    assert (line["scene"], line["blurred"]) == ("t 1 z 1", "0.5")
    empty = checked("s", 0.0, place={"t": 1, "z": 2}, tissue=0.0)
    assert [line["scene"] for line in lines([*stack, empty])] == ["t 1 z 1"]


@pytest.mark.parametrize(("text", "value", "unit"), [("2", 2, "px"), ("2.5px", 2.5, "px"), (" .5 um", 0.5, "um")])
def test_strengths_are_read(text: str, value: float, unit: str) -> None:
    assert Strength.parse(text) == Strength(value, unit)
    assert Strength.parse(text).in_pixels(0.25) == (value if unit == "px" else value / 0.25)


@pytest.mark.parametrize("text", ["", "px", "-1", "2mm", "1e3", "nan"])
def test_what_is_no_strength_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"2px or 0\.5um"):
        Strength.parse(text)


def test_um_need_a_pixel_size() -> None:
    with pytest.raises(ConfigError, match="pixel size"):
        Strength(0.5, "um").in_pixels(None)
    assert Strength(0.0, "um").in_pixels(None) == 0


def test_the_list_is_for_slides() -> None:
    error: dict[str, object] = {"code": "E", "message": "no"}
    assert is_wanted([checked("a", 0.0)], {})
    assert is_wanted([], {"x/b.SVS": error})
    assert not is_wanted([], {"x/b.png": error})
