"""When memory runs out a restorer goes on with smaller tiles; what came of it is the same, and it is said."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dgno.errors import OutOfMemory
from dgno.restoration.back_off import BackOff


class Hungry:
    """A mean over a window that has memory for tiles up to `most` px; counts what it was asked."""

    halo, multiple, is_local = 6, 8, True

    def __init__(self, most: int, error: type[BaseException] = torch.OutOfMemoryError) -> None:
        self.most, self.error, self.asked = most, error, []

    def __call__(self, x: Tensor) -> Tensor:
        self.asked.append(tuple(x.shape[-2:]))
        if x.shape[-1] * x.shape[-2] > self.most:
            raise self.error("no memory")
        return F.avg_pool2d(x, 13, 1, 6, count_include_pad=False)


PLANE = torch.rand(1, 1, 512, 640, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_smaller_tiles_give_the_same(error: type[BaseException]) -> None:
    whole = Hungry(10**9)(PLANE)
    steps: list[str] = []
    restorer = BackOff(Hungry(200 * 200, error), tell=steps.append)
    torch.testing.assert_close(restorer(PLANE), whole, atol=1e-6, rtol=0)
    assert restorer.side == 160
    assert steps == ["memory ran out; tiles of 320 px from here on", "memory ran out; tiles of 160 px from here on"]


def test_the_size_that_worked_is_kept() -> None:
    hungry = Hungry(200 * 200)
    restorer = BackOff(hungry)
    restorer(PLANE)
    hungry.asked.clear()
    restorer(PLANE)
    assert max(max(shape) for shape in hungry.asked) == 160


def test_one_lack_that_passes_changes_nothing() -> None:
    """Memory that another process held for a moment: the same again works."""
    hungry = Hungry(10**9)
    answers = iter([torch.OutOfMemoryError("once"), None])

    def once(x: Tensor) -> Tensor:
        if error := next(answers):
            raise error
        return hungry(x)

    restorer = BackOff(once)
    assert torch.equal(restorer(PLANE), hungry(PLANE))
    assert restorer.side == 0


def test_it_ends_after_few_tries_with_an_error_that_says_what_to_do() -> None:
    hungry = Hungry(10)
    with pytest.raises(OutOfMemory, match=r"160 x 160.*free memory"):
        BackOff(hungry)(PLANE)
    assert len(hungry.asked) <= 3 + 3  # log2(640 / 128) steps, and three more


def test_a_size_that_the_user_chose_stays() -> None:
    hungry = Hungry(200 * 200)
    with pytest.raises(OutOfMemory, match="--tile"):
        BackOff(hungry, fixed=True)(PLANE)
    assert set(hungry.asked) == {(512, 640)}


def test_the_last_resort_is_the_cpu() -> None:
    steps: list[str] = []
    restorer = BackOff(Hungry(10), on_cpu=lambda: Hungry(10**9), tell=steps.append)
    assert torch.equal(restorer(PLANE), Hungry(10**9)(PLANE))
    assert "CPU" in steps[-1]


def test_other_errors_pass_unchanged() -> None:
    def broken(x: Tensor) -> Tensor:
        raise ValueError("something else")

    with pytest.raises(ValueError, match="something else"):
        BackOff(broken)(PLANE)


def test_a_restorer_of_the_whole_is_never_cut() -> None:
    hungry = Hungry(200 * 200)
    hungry.is_whole = True
    with pytest.raises(OutOfMemory):
        BackOff(hungry)(PLANE)
    assert set(hungry.asked) == {(512, 640)}


def test_a_global_restorer_is_faded() -> None:
    """Tiles of a restorer that depends on its tile fade into each other, so that no line shows where they meet."""

    class Global(Hungry):
        is_local = False

        def __call__(self, x: Tensor) -> Tensor:
            super().__call__(x)
            return x + x.shape[-1] * 1e-4 + x.mean() * 0.1

    ramp = torch.linspace(0, 1, 640).expand(1, 1, 512, 640)
    answer = BackOff(Global(330 * 330))(ramp)
    steps = answer[0, 0, 256].diff() - ramp[0, 0, 256].diff()
    assert steps.abs().max() < 0.02  # a hard border would step by a tenth of the difference of two means
