"""What every measure asks of the two images."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from dgno.errors import ConfigError

Images = Float[Tensor, "*batch h w"]
Compared = Float[Tensor, "..."]  # both of one shape, which is checked with an error of ours


def refuse_other_shape(image: Compared, reference: Compared) -> None:
    """Raises ConfigError if the shapes differ, also where they would broadcast."""
    if image.shape != reference.shape:
        came = f"{tuple(image.shape)} against {tuple(reference.shape)}"
        raise ConfigError(f"images of different shapes: {came}", hint="compare images of one size and channels")


def refuse_smaller(image: Images, side: int, measure: str) -> None:
    """Raises ConfigError if an image is smaller than `side` x `side` px."""
    if min(image.shape[-2:]) < side:
        came = tuple(image.shape[-2:])
        raise ConfigError(f"{measure} needs images of at least {side} x {side} px, got {came}")
