from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from compressdefect.deploy.export import check_parity, export_onnx, parity
from compressdefect.errors import BundleError, ModelError
from compressdefect.models.inspector import Inspector

from .conftest import MEAN, SHAPE, STD, TASK, TinyNet, tiny_inspector


def _run(graph: Path, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"pixels": pixels})[0]


def test_interface_of_the_graph(graph: Path) -> None:
    model = onnx.load(graph)
    onnx.checker.check_model(model, full_check=True)
    (pixels,), (probabilities,) = model.graph.input, model.graph.output
    assert (pixels.name, pixels.type.tensor_type.elem_type) == ("pixels", onnx.TensorProto.UINT8)
    assert (probabilities.name, probabilities.type.tensor_type.elem_type) == ("probabilities", onnx.TensorProto.FLOAT)
    dims = pixels.type.tensor_type.shape.dim
    assert dims[0].dim_param
    assert tuple(d.dim_value for d in dims[1:]) == SHAPE
    assert max(o.version for o in model.opset_import if o.domain == "") <= 20
    assert not any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer)


def test_no_useless_nodes(graph: Path) -> None:
    kinds = Counter(node.op_type for node in onnx.load(graph).graph.node)
    assert "BatchNormalization" not in kinds
    assert (kinds["Cast"], kinds["Mul"], kinds["Add"]) == (1, 0, 1)
    assert (kinds["Conv"], kinds["Pad"], kinds["Softmax"]) == (2, 1, 1)


def test_nothing_of_this_machine_is_in_the_file(graph: Path) -> None:
    content = graph.read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert b"site-packages" not in content
    assert b"stack_trace" not in content


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_probabilities_at_any_batch(network: Inspector, graph: Path, pixels: np.ndarray, batch: int) -> None:
    found = _run(graph, pixels[:batch])
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    with torch.no_grad():  # the formula, spelt out: normalise, network, mean of the columns' softmax
        x = (torch.from_numpy(pixels[:batch]).float() - mean) / std
        expected = network.network.eval()(x).softmax(dim=-1).mean(dim=1).numpy()
    assert found.shape == (batch, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found, axis=0).max() > 0.01 or batch == 1, "a constant answer would prove nothing"


def test_mode_of_the_network_does_not_matter(graph: Path, pixels: np.ndarray) -> None:
    network = tiny_inspector().train()
    assert parity(network, TASK, graph, pixels) < 1e-5
    assert network.training


def test_one_image_is_enough_for_parity(network: Inspector, graph: Path, pixels: np.ndarray) -> None:
    assert check_parity(network, TASK, graph, pixels[:1]) < 1e-5


def test_another_networks_graph_fails_parity(graph: Path, pixels: np.ndarray) -> None:
    other = tiny_inspector()
    with torch.no_grad():
        other.network.head.bias.add_(torch.linspace(0, 1, 6))
    with pytest.raises(BundleError, match=r"does not reproduce its network: got answers differ by up to 0\."):
        check_parity(other, TASK, graph, pixels)


def test_nan_fails_parity(graph: Path, pixels: np.ndarray) -> None:
    broken = tiny_inspector()
    nn.init.constant_(broken.network.head.bias, float("nan"))
    with pytest.raises(BundleError, match="differ by up to inf"):
        check_parity(broken, TASK, graph, pixels)


def test_a_fixed_batch_grey_input_and_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], pixels: np.ndarray
) -> None:
    network = Inspector.from_statistics(TinyNet(channels=1), [128.0], [64.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_onnx(network, TASK, tmp_path / "grey.onnx", input_shape=(1, 16, 16), batch=2)
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["grey.onnx"]
    found = _run(tmp_path / "grey.onnx", pixels[:2, :1, :16, :16])
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


class _Undecided(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.float().mean(dim=(2, 3))
        return x if x.sum() > 0 else -x


def test_what_onnx_cannot_say_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be exported to ONNX"):
        export_onnx(_Undecided(), TASK, tmp_path / "bad.onnx", input_shape=(3, 8, 8))
    assert list(tmp_path.iterdir()) == []
