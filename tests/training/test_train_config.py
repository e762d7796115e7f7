"""Configurations: read, or refused with everything that is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dgno.data.scenes import Augmentation, Source
from dgno.errors import ConfigError
from dgno.networks.presets import NETWORKS
from dgno.optics.simulate import BlurRange
from dgno.optics.varied import Variety
from dgno.training.config import Stage, TrainConfig, load_config
from dgno.training.loop import learning_rate
from dgno.weights.store import embedded_names, find_weights, read_weights

DOCUMENTED = Path(__file__).parents[2] / "docs" / "training"


def test_read(run_folder: Path) -> None:
    config = load_config(run_folder / "config.toml")
    assert config.network.blocks == (1, 1, 1, 1)
    assert config.blur.sigma == (0.6, 2.0)
    assert config.stages == (Stage(5, 32, 2), Stage(9, 64, 1))
    assert (config.steps, config.stage(4).crop, config.stage(5).crop) == (9, 32, 64)
    assert config.data == run_folder / "sharp"


@pytest.mark.parametrize(("line", "message"), [
    ("learning_rte = 1e-3", "unknown key 'learning_rte', did you mean 'learning_rate'"),
    ("zzz = 1", "unknown key 'zzz', known: data"),
    ("clip = 'much'", "clip is 'much', wanted float"),
    ("out = 3", "out is 3, wanted a path in quotes"),
    ("stages = 3", "stages is 3, wanted a list"),
    ("seed = 1.5", "seed is 1.5, wanted int"),
    ("seed = true", "seed is True, wanted int"),
])  # fmt: skip
def test_a_wrong_key_is_named(run_folder: Path, line: str, message: str) -> None:
    file = run_folder / "config.toml"
    kept = [old for old in file.read_text().splitlines() if old.split(" =")[0] != line.split(" =")[0]]
    file.write_text(line + "\n" + "\n".join(kept))
    with pytest.raises(ConfigError, match="configuration does not fit") as caught:
        load_config(file)
    assert message in str(caught.value)


def test_all_problems_come_at_once(run_folder: Path) -> None:
    file = run_folder / "config.toml"
    text = file.read_text().replace("heads = 2", "heads = 3").replace('out = "run"', "").replace("[0.6, 2.0]", "[0.6]")
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    for part in ("out is missing", "width 8 and heads 3", "blur.sigma is [0.6], wanted a list of 2"):
        assert part in str(caught.value)


def test_unknown_keys_come_in_the_order_of_the_file_and_what_is_known_once(run_folder: Path) -> None:
    file = run_folder / "config.toml"
    file.write_text("zzz = 1\nyyy = 2\nlearning_rte = 3\n" + file.read_text())
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    told = "line 1: unknown key 'zzz'; line 2: unknown key 'yyy', known: data, out"
    assert told in str(caught.value) and str(caught.value).count("known: data") == 1
    assert "unknown key 'learning_rte', did you mean 'learning_rate'?" in str(caught.value)


@pytest.mark.parametrize(("old", "new", "message"), [
    ('"range"\nlearning', '"percentiles"\nlearning', "normalization is 'percentiles', did you mean 'percentile'?"),
    ('fft_norm = "ortho"', 'fft_norm = "orto"', "fft_norm is 'orto', did you mean 'ortho'?"),
    ("validate_every = 100", "validate_every = 0", "validate_every is 0, wanted a whole number of at least 1"),
    ("checkpoint_every = 3", "checkpoint_every = -3", "checkpoint_every is -3, wanted a whole number of at least 1"),
    ("seed = 7", "seed = -7", "seed is -7"),
    ("seed = 7", "seed = 18446744073709551616", "seed is 18446744073709551616, wanted one below 2^63"),
    ("warmup = 2", "warmup = -2", "warmup is -2"),
    ("ema = 0.9", "ema = 1.0", "ema is 1.0"),
    ("learning_rate = 2e-3", "learning_rate = nan", "learning_rate is nan, wanted a finite number of at least 0"),
    ("learning_rate = 2e-3", "learning_rate = 2e-3\nclip = 0.0", "clip is 0.0, wanted a finite number above 0"),
    ("crop = 64", "crop = 34", "stages[1].crop is 34, wanted a multiple of 32 px"),
    ("crop = 64", "crop = -64", "stages[1]: the stage cannot be trained: crop is -64"),
    ("batch = 1", "batch = 0", "batch is 0"),
    ("until = 9", "until = 5", "stages end at 5, 5, wanted rising steps"),
    ('range = "percentile"', 'range = "percentil"', "range is 'percentil', did you mean 'percentile'?"),
    ('range = "percentile"', "weight = -1", "weight is -1.0"),
    ('range = "percentile"', "weight = 0", "sources has no source with a weight above 0"),
    ('files = "*.png"', 'files = "/x/*.png"', "files is '/x/*.png', wanted a pattern below the data folder"),
    ('files = "*.png"', 'files = "**.png"', "files is '**.png', wanted a pattern below the data folder"),
    ("sigma = [0.6, 2.0]", "sigma = [2.0, 0.6]", "sigma is (2.0, 0.6), wanted (smallest, largest)"),
    ("sigma = [0.6, 2.0]", 'fields = ["vornoi"]', "fields[0] is 'vornoi', did you mean 'voronoi'?"),
    ("sigma = [0.6, 2.0]", "fields = []", "fields is empty, known: constant"),
    ("scale = [0.7, 1.0]", "scale = [0.7, 5.0]", "scale is (0.7, 5.0)"),
    ("scale = [0.7, 1.0]", "linear_light = 2.0", "linear_light is 2.0"),
    ("[blur]", "[variety]\nstrong = 0.1\nstrongest = 1.5\n[blur]", "variety.strongest is 1.5 px, wanted at least the"),
])  # fmt: skip
def test_an_impossible_value_is_named_before_anything_is_trained(
    run_folder: Path, old: str, new: str, message: str
) -> None:
    """With what was wanted, or the nearest name."""
    file = run_folder / "config.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ConfigError, match="configuration does not fit") as caught:
        load_config(file)
    assert message in str(caught.value)


@pytest.mark.parametrize(("kind", "wrong"), [
    (Source, {"files": "", "weight": -1.0, "range": "dtyp"}),
    (Augmentation, {"scale": (0.0, 1.0), "gamma": (2.0, 1.0), "stain": 1.5}),
    (BlurRange, {"spread": 0.5, "photons": (0.0, 1.0), "read_noise": (-1.0, 0.0), "softness": (1.0, 0.5)}),
    (Stage, {"until": 0, "crop": 0, "batch": 0}),
])  # fmt: skip
def test_a_record_names_all_that_is_wrong_with_it(kind: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        kind(**wrong)
    assert all(f"{name} is {value!r}" in str(caught.value) for name, value in wrong.items())


def test_a_run_names_all_that_is_wrong_with_it(run_folder: Path) -> None:
    config = load_config(run_folder / "config.toml")
    weak = Variety(strong=0.1, strongest=1.5)
    with pytest.raises(ConfigError) as caught:
        replace(config, stages=(), sources=(), fft_norm="orto", normalization="", validate_every=0, variety=weak)
    for part in (
        *("stages is empty", "sources has no source", "fft_norm is", "normalization is", "validate_every is 0"),
        "variety.strongest is 1.5 px",
    ):
        assert part in str(caught.value)


def test_relative_paths_start_at_the_configuration(run_folder: Path) -> None:
    """Also that of `init`; the name of weights that come with the package is a name."""
    file = run_folder / "config.toml"
    text = file.read_text()

    def with_init(init: str) -> TrainConfig:
        file.write_text(f'init = "{init}"\n{text}')
        return load_config(file)

    assert with_init("old/w.safetensors").init == run_folder / "old" / "w.safetensors"
    assert with_init("/old/w.safetensors").init == Path("/old/w.safetensors")
    assert with_init("fluorescence-nano").init == Path("fluorescence-nano")


@pytest.mark.parametrize("text", [
    "seed = ", "a = 1\na = 2", "\x00", "a = " + "[" * 5000 + "]" * 5000, "a = " + "{a = " * 5000 + "1" + "}" * 5000,
    "seed = " + "1" * 5000,
], ids=["no value", "twice", "binary", "deep arrays", "deep tables", "long number"])  # fmt: skip
def test_broken_toml(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load_config(tmp_path / "c.toml")


@pytest.mark.parametrize(("written", "told"), [
    (b'data = "x"\nout = \n', "(at line 2, column 7)"),
    (b"a" * 300 + b".b.c = 1\n[" + b"a" * 300 + b".b]\n", "(at line 2, column 304)"),
    (b'data = "x"\nout = "caf\xe9"\n', "byte 0xe9 in line 2 is no UTF-8; save it as UTF-8"),
    (b'data = "C:\\Users\\me"\n', "(at line 1, column 13); write / for \\ in paths"),
    (b'data = "D:\\slides"\n', "(at line 1, column 13); write / for \\ in paths"),
], ids=["no value", "long key", "latin-1", "hex", "escape"])  # fmt: skip
def test_broken_toml_is_told_with_its_place(tmp_path: Path, written: bytes, told: str) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(written)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(file) in str(caught.value) and told in str(caught.value)


def test_a_mark_of_windows_at_the_start_is_passed_over(run_folder: Path) -> None:
    file = run_folder / "config.toml"
    before = load_config(file)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert load_config(file) == before


def test_a_configuration_is_of_bounded_length(tmp_path: Path) -> None:
    """One of 1 MiB is read; what is wrong in it is shown in part."""
    file = tmp_path / "c.toml"
    file.write_text('seed = "' + "x" * (2**20 - 9) + '"')
    assert file.stat().st_size == 2**20
    with pytest.raises(ConfigError, match=r"seed is 'xxx.*, wanted int") as caught:
        load_config(file)
    assert len(str(caught.value)) < 1000
    file.write_text(file.read_text() + "\n")
    with pytest.raises(ConfigError, match=r"too long for a configuration.*more than 1048576 bytes"):
        load_config(file)


def test_the_learning_rate_rises_and_falls(run_folder: Path) -> None:
    """Linear warm-up, then half a cosine down to the final rate."""
    config = load_config(run_folder / "config.toml")
    rates = [learning_rate(step, config) for step in range(config.steps + 1)]
    assert rates[0] == pytest.approx(1e-3)
    assert max(rates) == pytest.approx(2e-3) == rates[2]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(1e-6)


def test_a_network_may_be_a_preset_with_changes(run_folder: Path) -> None:
    file = run_folder / "config.toml"
    head, tail = file.read_text().split("[network]")
    file.write_text(head + '[network]\npreset = "nano-face"\nchannels = 3\n\n[blur]' + tail.split("[blur]")[1])
    assert load_config(file).network == replace(NETWORKS["nano-face"], channels=3)
    file.write_text(file.read_text().replace("nano-face", "nano-fase"))
    with pytest.raises(ConfigError, match=r"network\.preset is 'nano-fase', did you mean 'nano-face'"):
        load_config(file)


@pytest.mark.parametrize("name", embedded_names())
def test_the_configurations_of_the_embedded_weights_are_valid(name: str) -> None:
    """And they describe the networks that the weights hold."""
    config = load_config(DOCUMENTED / f"{name}.toml")
    card, _ = read_weights(find_weights(name))
    assert (card.network, card.image, card.normalization) == (config.network, config.image, config.normalization)


@pytest.mark.parametrize(("name", "layout", "channels", "scale"), [
    ("bbbc006-w1", "bbbc006", 1, "minmax"), ("bbbc006-w2", "bbbc006", 1, "minmax"),
    ("3dhistech", "3dhistech", 3, "range"), ("dpdd", "dpdd", 3, "range"),
])  # fmt: skip
def test_the_recipes_of_the_paper(name: str, layout: str, channels: int, scale: str) -> None:
    """AdamW 3e-4 to 1e-6, weight decay 1e-4, crops of 256 px, batch 8, the un-normalised Fourier transform."""
    config = load_config(DOCUMENTED / f"{name}.toml")
    assert config.pairs is not None
    assert (config.pairs.layout, config.network.channels, config.pairs.scale) == (layout, channels, scale)
    assert (config.learning_rate, config.final_learning_rate, config.weight_decay) == (3e-4, 1e-6, 1e-4)
    assert config.stages == (Stage(300_000, 256, 8),)
    assert (config.fft_norm, config.ema, config.network.width) == ("backward", 0.0, 48)
    assert config.network.blocks == NETWORKS["dgno-cell"].blocks


def test_every_documented_configuration_is_one_of_these() -> None:
    others = {"bbbc006-w1", "bbbc006-w2", "3dhistech", "dpdd", "variants"}  # the paper's, and benchmarks/variants.py's
    went_on = ("brightfield-nano", "brightfield-motion-nano", "brightfield-mixed-nano", "fluorescence-motion-nano")
    others |= {f"{name}-on" for name in went_on} | {"fluorescence-motion-nano-on-2", "brightfield-mixed-nano-on-2"}
    assert {path.stem for path in DOCUMENTED.glob("*.toml")} == {*embedded_names(), *others}


def test_variants_are_trained_afresh_on_what_so_few_steps_can_teach() -> None:
    """Soft disks alone: with `[variety]`, a thousand steps leave most of them behind the blurred image."""
    config = load_config(DOCUMENTED / "variants.toml")
    assert isinstance(config.exposures, BlurRange)
    assert config.init is None
