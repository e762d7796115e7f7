"""The compiled random numbers are torch's, and leave the generators as torch does."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from kernel_comparison import compiled_versions

from dgno.kernels import uniform
from dgno.kernels.uniform import draw_uniform, draw_uniform_c

pytestmark = pytest.mark.skipif(not compiled_versions(uniform), reason="the kernels were not compiled")


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in (0, 1, 2**40)]


def test_this_torch_lays_its_generators_out_as_the_compiled_code_reads_them() -> None:
    assert uniform.reads_generators()


@pytest.mark.parametrize("version", compiled_versions(uniform))
def test_draws_are_those_of_torch(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit: fewer than are renewed together, as many, and more; one call after another, and afterwards."""
    monkeypatch.setattr(uniform.load(), "version", version)
    ours, torchs = generators(), generators()
    for shape in ((3, 1, 1), (3, 1, 623), (3, 1, 624), (3, 25, 64), (2, 39, 64)):
        assert torch.equal(draw_uniform_c(shape, ours), draw_uniform(shape, torchs))
    for one, other in zip(ours, torchs, strict=True):
        assert torch.equal(torch.randn(33, generator=one), torch.randn(33, generator=other))


def test_a_batch_without_generators_draws_from_the_global_one() -> None:
    torch.manual_seed(5)
    ours = [draw_uniform_c((2, 7, 64), None), torch.rand(3)]
    torch.manual_seed(5)
    torchs = [draw_uniform((2, 7, 64), None), torch.rand(3)]
    assert all(torch.equal(one, other) for one, other in zip(ours, torchs, strict=True))


@pytest.mark.parametrize("shape", [(0, 7, 64), (3, 0, 64)], ids=str)
def test_nothing_is_drawn_for_no_pixels(shape: tuple[int, int, int]) -> None:
    ours, global_state = generators(), torch.get_rng_state()
    assert draw_uniform_c(shape, ours).shape == draw_uniform_c(shape, None).shape == shape
    assert all(torch.equal(one.get_state(), new.get_state()) for one, new in zip(ours, generators(), strict=True))
    assert torch.equal(torch.get_rng_state(), global_state)


def test_images_may_share_a_generator() -> None:
    """They draw from it one after the other."""
    ours, torchs = torch.Generator().manual_seed(7), torch.Generator().manual_seed(7)
    assert torch.equal(draw_uniform_c((2, 3, 64), [ours, ours]), draw_uniform((2, 3, 64), [torchs, torchs]))


@pytest.mark.parametrize("shared", [False, True], ids=["the global generator", "one given to all"])
def test_threads_that_share_a_generator_draw_different_numbers(shared: bool) -> None:
    """And together those that one thread draws."""
    given = [torch.Generator()] if shared else None
    seed = given[0].manual_seed if given else torch.manual_seed
    seed(3)
    alone = [draw_uniform_c((1, 1, 4), given) for _ in range(400)]
    seed(3)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda _: draw_uniform_c((1, 1, 4), given), range(400)))
    finally:
        sys.setswitchinterval(interval)
    assert {tuple(drawn.flatten().tolist()) for drawn in together} == {tuple(d.flatten().tolist()) for d in alone}
