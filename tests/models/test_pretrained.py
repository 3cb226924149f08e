"""timm's models as encoders: the same decoder over other maps."""

from __future__ import annotations

import pytest
import torch

from compressdefect.cost.counting import trace_macs, trainable
from compressdefect.errors import ModelError
from compressdefect.models.designs import parse_design
from compressdefect.models.pretrained import build_segmenter

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
