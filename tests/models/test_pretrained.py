"""timm's models as encoders: the same decoder over other maps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from compressdefect.cost.counting import trace_macs, trainable
from compressdefect.errors import ModelError
from compressdefect.models.designs import parse_design
from compressdefect.models.pretrained import OWN, build, build_segmenter, check_weights, statistics, timm

SMALL = "mobilenetv3_small_050"


def test_an_encoder_under_the_decoder_is_built_and_priced() -> None:
    design = parse_design(f"timm:{SMALL}").for_task("segment")
    assert design.task == "segment"
    network = design.build(channels=1, heads={"pixels": ("a", "b", "c")}).eval()
    assert network(torch.zeros(1, 1, 64, 96)).shape == (1, 3, 64, 96)
    cost = design.cost(input_shape=(1, 64, 96), heads={"pixels": ("a", "b", "c")})
    assert (cost.params, cost.macs) == (trainable(network), trace_macs(network, (1, 64, 96))[0])
    assert cost.peak_bytes > 3 * 4 * 64 * 96


@pytest.mark.parametrize("size", [(33, 47), (71, 40)])
def test_any_size_comes_back_as_it_went_in(size: tuple[int, int]) -> None:
    network = build_segmenter(SMALL, channels=3, heads={"pixels": ("a", "b")}).eval()
    assert network(torch.zeros(1, 3, *size)).shape == (1, 2, *size)


def test_the_decoder_is_lw_cnns() -> None:
    network = build_segmenter(SMALL, channels=3, heads={"pixels": ("a", "b")})
    widths = network.encoder.feature_info.channels()  # type: ignore[operator, union-attr]
    ours = parse_design("lw-seg").build(channels=3, heads={"pixels": ("a", "b")}).get_submodule("decoder")
    theirs = network.decoder.get_submodule("decoder")
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]
    assert theirs.aspp.branches[0][0].in_channels == widths[-1]  # type: ignore[union-attr, index]
    assert network.encoder.feature_info.reduction()[network.tap] == 8  # type: ignore[operator, union-attr]


def test_a_model_without_such_maps_is_refused() -> None:
    with pytest.raises(ModelError, match=r"vit_tiny_patch16_224 is no encoder .*use one that has a map at 1/8"):
        build_segmenter("vit_tiny_patch16_224", channels=3, heads={"pixels": ("a", "b")})
    with pytest.raises(ModelError, match=r"did you mean .*resnet50"):
        build_segmenter("resnet5", channels=3, heads={"pixels": ("a", "b")})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files with the weights of a model, and some with none that are of use."""
    folder, model = tmp_path_factory.mktemp("weights"), timm.create_model(SMALL, pretrained=False)
    state = model.state_dict()
    save_file(state, folder / "good.safetensors")
    torch.save({"state_dict": state}, folder / "good.pth")
    torch.save(model, folder / "pickle.pth")
    save_file({"conv_stem.weight": state["conv_stem.weight"]}, folder / "part.safetensors")
    (folder / "text.pth").write_text("none")
    (folder / "text.safetensors").write_text("none")
    torch.save([1, 2], folder / "list.pth")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["good.safetensors", "good.pth"])
def test_a_model_begins_with_the_weights_of_a_file(weights: dict[str, Path], name: str) -> None:
    check_weights(SMALL, weights[name])
    known = load_file(weights["good.safetensors"])
    classifier = build(SMALL, channels=1, heads={"image": ("a", "b")}, weights=weights[name]).state_dict()
    segmenter = build_segmenter(SMALL, channels=3, heads={"pixels": ("a", "b")}, weights=weights[name])
    stem = known["conv_stem.weight"]
    torch.testing.assert_close(classifier["conv_stem.weight"], stem.sum(dim=1, keepdim=True))
    assert classifier["classifier.weight"].shape[0] == 2
    for key in known:
        if not key.startswith(("conv_stem", "classifier")):
            torch.testing.assert_close(classifier[key], known[key])
    encoder = segmenter.encoder.state_dict()
    assert set(encoder) < set(known)
    for key, value in encoder.items():
        torch.testing.assert_close(value, known[key])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pickle.pth", r"damaged, or a pickle that could run code: got .*pickle\.pth"),
        (
            "part.safetensors",
            r"does not hold the weights of .*: got \d+ of \d+ tensors are not there",
        ),
        ("text.pth", "damaged, or a pickle"),
        ("text.safetensors", "not a weights file"),
        ("list.pth", "not a weights file"),
    ],
)
def test_a_file_of_no_use_is_refused_in_a_line(weights: dict[str, Path], name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        check_weights(SMALL, weights[name])
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="no such weights file"):
        check_weights(SMALL, weights[name].with_name("missing.pth"))


def test_weights_that_cannot_be_had_are_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **options: object) -> None:
        assert options["pretrained"] is True
        raise OSError("no network\nat all")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match=r"own weights of .* cannot be had: got no network; check the network"):
        build(SMALL, channels=1, heads={"image": ("a", "b")}, weights=OWN)


def test_statistics_are_those_that_weights_were_made_for() -> None:
    means, stds = statistics("resnet18", 3)
    assert means == pytest.approx([123.675, 116.28, 103.53])
    assert statistics("resnet18", 1) == ([pytest.approx(sum(means) / 3)], [pytest.approx(sum(stds) / 3)])
