"""The published checkpoints: their key names, and what their tensors say about the network.

A checkpoint `DGNO_<dataset>_<Face|Cell>.pth` is a dict whose entry `params` maps the released names to tensors. This
file knows names and shapes only; reading the file is `pth.py`'s part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from dgno.errors import CheckpointMismatch, ConfigError
from dgno.networks.config import DGNOConfig
from dgno.networks.dgno import DGNO
from dgno.weights.store import check_fit

# Released name -> ours, applied one after the other.
_RENAMES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    # the lifting
    (r"^patch_embed\.proj\.", "lifting.embed."),
    (r"^encoder_level([123])\.", r"lifting.level\1."),
    (r"^latent\.", "lifting.latent."),
    (r"^down([123])_\d\.body\.", r"lifting.down\1."),
    (r"^FAM2\.merge\.main\.0\.", "lifting.merge2.merge."),
    (r"^FAM1\.merge\.main\.0\.", "lifting.merge3.merge."),
    (r"^SCM2\.main\.", "lifting.shallow2."),
    (r"^SCM1\.main\.", "lifting.shallow3."),
    (r"^(lifting\.shallow[23])\.4\.", r"\1.7."),
    (r"^(lifting\.shallow[23])\.([0-3])\.main\.0\.", lambda m: f"{m[1]}.{2 * int(m[2])}."),
    # an encoder module
    (r"\.(norm[12])\.body\.", r".\1."),
    (r"\.embeddingA\.weight$", ".prompt_basis"),
    (r"\.ffn\.dwconv\.", ".feed_forward.depthwise."),
    (r"\.ffn\.", ".feed_forward."),
    (r"\.attn\.embeddingB\.weight$", ".scan.prompt_codes"),
    (r"\.attn\.route\.0\.", ".scan.routing.hidden."),
    (r"\.attn\.route\.2\.", ".scan.routing.logits."),
    (r"\.attn\.in_proj\.0\.", ".scan.project_in."),
    (r"\.attn\.CPE\.0\.", ".scan.position."),
    (r"\.attn\.out_norm\.", ".scan.norm."),
    (r"\.attn\.out_proj\.", ".scan.project_out."),
    (r"\.attn\.selectiveScan\.x_proj_weight$", ".scan.scan.x_proj.weight"),
    (r"\.attn\.selectiveScan\.dt_projs_(weight|bias)$", r".scan.scan.dt_proj.\1"),
    (r"\.attn\.selectiveScan\.A_logs$", ".scan.scan.A_log"),
    (r"\.attn\.selectiveScan\.Ds$", ".scan.scan.D"),
    # the operator stages: conv0, conv1 at full, conv00, conv11 at half, conv000, conv111 at quarter resolution
    (r"^up4_3\.body\.", "operator_quarter.up."),
    (r"^up3_2\.body\.", "operator_half.up."),
    (r"^up2_1\.body\.", "operator_full.up."),
    (r"^reduce_chan_level3\.", "operator_quarter.merge."),
    (r"^reduce_chan_level2\.", "operator_half.merge."),
    (r"^reduce_chan_level1\.", "operator_full.merge."),
    (r"^conv(\d)\1\1\.", r"operator_quarter.layers.\1."),
    (r"^conv(\d)\1\.", r"operator_half.layers.\1."),
    (r"^conv(\d)\.", r"operator_full.layers.\1."),
    (r"(\.layers\.\d)\.kln\.", r"\1.key_norm."),
    (r"(\.layers\.\d)\.vln\.", r"\1.value_norm."),
    (r"(\.layers\.\d)\.qkv_proj\.", r"\1.qkv."),
    (r"(\.layers\.\d)\.out_proj1\.", r"\1.mlp.0."),
    (r"(\.layers\.\d)\.out_proj2\.", r"\1.mlp.2."),
    (r"(\.layers\.\d)\.tau$", r"\1.assembly.flux.tau"),
    (r"^ConvsOut\.0\.main\.0\.", "output_quarter."),
    (r"^ConvsOut\.1\.main\.0\.", "output_half."),
    (r"^output\.", "output_full."),
)  # fmt: skip
_FACE_INDEX = re.compile(r"\.face_idx_(left|right|top|bottom)$")  # constant buffers, only in Face checkpoints


def our_name(released: str) -> str:
    """The name in our networks of a parameter of the released code."""
    for pattern, replacement in _RENAMES:
        released = re.sub(pattern, replacement, released)
    return released


@dataclass(frozen=True)
class Choices:
    """What a checkpoint does not say, or what is to be believed instead of it; None: as the tensors say."""

    flux: str
    boundary: str
    heads: int | None = None
    scope: str = "elements"
    element_size: int | None = None

    def __post_init__(self) -> None:
        DGNOConfig(flux=self.flux, boundary=self.boundary, scope=self.scope)  # knows the names
        for name, size in {"heads": self.heads, "element_size": self.element_size}.items():
            if size is not None and size < 1:
                raise ConfigError(f"{name} {size}", hint="give a positive number, or leave it out to read it off")


def read_config(params: Mapping[str, Tensor], choices: Choices) -> DGNOConfig:
    """The network that the tensors belong to: channels, width, blocks, heads, variant, iterations and element size."""
    for name in ("patch_embed.proj.weight", "conv0.kln.weight"):
        if name not in params:
            hint = "give a checkpoint of the published DGNO code"
            raise CheckpointMismatch("not a DGNO checkpoint", why=f"it has no tensor {name!r}", hint=hint)
    try:
        return _config(params, choices)
    except (ConfigError, ValueError, TypeError, IndexError) as error:
        raise CheckpointMismatch("the tensors are those of no network that dgno can build", why=str(error)) from error


_LEVELS = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")


def _config(params: Mapping[str, Tensor], choices: Choices) -> DGNOConfig:
    face_tokens = params.get("conv0.face_idx_left")
    face_side = None if face_tokens is None else len(face_tokens)
    width, channels = params["patch_embed.proj.weight"].shape[:2]
    level1, level2, level3, latent = (_count(params, rf"^{level}\.(\d+)\.") for level in _LEVELS)
    return DGNOConfig(
        channels=channels,
        width=width,
        blocks=(level1, level2, level3, latent),
        heads=choices.heads or params["conv0.kln.weight"].shape[0],
        traces="cell" if face_tokens is None else "face",
        flux=choices.flux,
        boundary=choices.boundary,
        convention="released",
        scope=choices.scope,
        element_size=choices.element_size or face_side or 8,
        iterations=_count(params, r"^conv(\d)\."),
    )


def _count(params: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for match in (re.match(pattern, name) for name in params) if match})


def to_ours(params: Mapping[str, Tensor], network: DGNO) -> dict[str, Tensor]:
    """The released tensors under our names and in our shapes: ours have no axes of length 1.

    Raises CheckpointMismatch with the first differences unless every tensor finds its place and every place its tensor.
    """
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
    found = {our_name(name): tensor for name, tensor in params.items() if not _FACE_INDEX.search(name)}
    for name in wanted.keys() & found.keys():
        if _without_ones(wanted[name]) == _without_ones(found[name].shape):
            found[name] = found[name].reshape(wanted[name])
    return check_fit(network, found)


def _without_ones(shape: Iterable[int]) -> list[int]:
    return [n for n in shape if n != 1]
