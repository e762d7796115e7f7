"""Simulated pairs are told from data sets whose names they bear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from dgno.data.layouts import guess_layout, read_layout
from dgno.data.simulated import write_pairs
from dgno.optics.simulate import BlurRange


@pytest.mark.parametrize("name", ["BBBC006_z_aligned__a01__s1__w1_10", "mcf-z-stacks-03212011_b02_s2_w2"])
def test_pairs_are_read_as_pairs_whatever_their_sources_are_called(tmp_path: Path, name: str) -> None:
    """Sharp planes of BBBC006 keep their names, and are no data set that lacks planes."""
    tifffile.imwrite(tmp_path / f"{name}.tif", np.random.default_rng(0).random((40, 48), dtype=np.float32))
    for split in ("", "train", "test"):
        write_pairs([tmp_path / f"{name}.tif"], tmp_path / "out" / split, BlurRange())
        folder = tmp_path / "out" if not split else tmp_path / "out" / split
        assert guess_layout(folder) == "folder-pair"
        assert [record.target.stem for record in read_layout(folder)[1]] == [name]
