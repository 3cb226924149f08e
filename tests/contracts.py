"""Contract suites: what every implementation of an interface must pass."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from compressdefect.blocks import batch_norm
from compressdefect.cost.counting import exported_peak_bytes, trace_macs, trainable
from compressdefect.cost.piece import Piece, Shape
from compressdefect.data.images import Images
from compressdefect.data.truth import Truth
from compressdefect.deploy.export import check_parity, export_onnx
from compressdefect.train.task import Aim, Answers, Outputs, Task

ODD_SIZES = ((7, 11), (1, 1), (12, 9))


class BlockContract:
    """What every block passes: any size, gradients everywhere, determinism, ONNX parity, exact closed form.

    A subclass sets `channels`, `make` (the module) and `price` (its closed form for an input shape).
    """

    channels = 8
    make: Callable[[], nn.Module]
    price: Callable[[Shape], Piece]

    def block(self) -> nn.Module:
        """The block with parameters and statistics away from their initial values."""
        generator = torch.Generator().manual_seed(1)
        block = type(self).make()
        with torch.no_grad():
            for parameter in block.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
            for layer in block.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.running_mean = 0.1 * torch.randn(layer.num_features, generator=generator)
                    layer.running_var = 1 + torch.rand(layer.num_features, generator=generator)
        return block

    def images(self, height: int, width: int, batch: int = 2) -> torch.Tensor:
        generator = torch.Generator().manual_seed(2)
        return torch.randn(batch, self.channels, height, width, generator=generator)

    @pytest.mark.parametrize(("height", "width"), ODD_SIZES)
    def test_closed_form_equals_count(self, height: int, width: int) -> None:
        block, shape = self.block().eval(), (self.channels, height, width)
        piece = type(self).price(shape)
        assert piece.params == trainable(block)
        assert piece.macs == trace_macs(block, shape)[0]
        output = block(self.images(height, width, batch=1))
        assert torch.Size(piece.out).numel() == output.numel()
        assert output.dim() != 4 or tuple(output.shape[1:]) == piece.out
        assert torch.isfinite(output).all()

    def test_gradients_reach_every_parameter(self) -> None:
        block, x = self.block().train(), self.images(6, 5).requires_grad_()
        weights = torch.randn(block(x).shape, generator=torch.Generator().manual_seed(3))
        (block(x) * weights).sum().backward()
        assert x.grad is not None
        assert x.grad.abs().sum() > 0
        cancelled = "embed.0.bias"  # by the batch norm behind it: what it gets is rounding, and may be none
        without = [name for name, p in block.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert [name for name in without if not name.endswith(cancelled)] == []

    @pytest.mark.parametrize(("height", "width"), [(7, 11), (12, 9)])
    def test_training_is_that_of_the_exported_operators(
        self, height: int, width: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Outputs, gradients and running statistics, whatever a CPU computes them with."""
        monkeypatch.setattr(batch_norm, "MANY_VALUES", 0)
        block = self.block().train()
        x = self.images(height, width).to(memory_format=torch.channels_last)
        found, expected = (trained_once(module, x) for module in (block, plain(block)))
        assert found.keys() == expected.keys()
        rounding = 1e-5 * max(float(tensor.abs().max()) for tensor in expected.values())  # some gradients are but that
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=rounding, msg=name)

    def test_evaluation_is_deterministic_and_per_sample(self) -> None:
        block, x = self.block().eval(), self.images(9, 6)
        with torch.no_grad():
            together = block(x)
            assert torch.equal(together, block(x))
            torch.testing.assert_close(together[1:], block(x[1:]), rtol=1e-4, atol=1e-5)

    def test_onnx_parity_and_peak_bytes(self, tmp_path: Path) -> None:
        block, x = self.block().eval(), self.images(9, 7, batch=1)
        path = tmp_path / "block.onnx"
        export(block, x, path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, block(x).numpy(), rtol=1e-4, atol=1e-5)
        shape = (self.channels, 9, 7)
        assert type(self).price(shape).peak == exported_peak_bytes(block, shape)


def plain(block: nn.Module) -> nn.Module:
    """A copy whose layers train with the operators that they are exported with."""
    block = copy.deepcopy(block)
    for layer in block.modules():
        if isinstance(layer, batch_norm.BatchNorm):
            layer.__class__ = nn.BatchNorm2d
        elif not any(isinstance(inner, nn.BatchNorm2d) for inner in layer.modules()):
            layer.eval()
    return block


def trained_once(block: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What one step of training makes of a block: its output, all gradients and what it remembers."""
    x = x.clone().requires_grad_()
    y = block.to(memory_format=torch.channels_last)(x)
    (y * torch.randn(y.shape, generator=torch.Generator().manual_seed(3))).sum().backward()
    assert x.grad is not None
    gradients = {f"gradient to {name}": p.grad for name, p in block.named_parameters() if p.grad is not None}
    return {"output": y.detach(), "gradient": x.grad, **gradients, **dict(block.named_buffers())}


def export(module: nn.Module, x: torch.Tensor, path: Path) -> None:
    """Write an ONNX file with its weights inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch's exporter
        torch.onnx.export(module, (x,), str(path), dynamo=True, opset_version=18, external_data=False, verbose=False)


class TaskContract:
    """What every task passes: labels and records by image, any batching, gradients, JSON figures, the shipped graph.

    A subclass has fixtures `task` (not yet scored by any metric but its own), `plates` (24 images, good and not) and
    `net` (raw pixels → the task's outputs, untrained), and `perfect`, the answers of a network that is always right.
    """

    INDICES = np.array([7, 2, 11, 4, 23, 0])
    perfect: Callable[[Any, Task, Truth], Answers]
    COMMON = frozenset(
        {"n", "interval", "threshold", "escape", "overkill", "escape_interval", "overkill_interval", "choices"}
    )

    def outputs(self, net: nn.Module, plates: Images, indices: np.ndarray) -> tuple[torch.Tensor, ...]:
        """What the network returns, in the order of its heads."""
        found = net(torch.from_numpy(plates.pixels[indices]))
        return found if isinstance(found, tuple) else (found,)

    def given(self, outputs: Sequence[torch.Tensor]) -> Outputs:
        """Outputs as a network returns them: of one head the tensor itself."""
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def answers(self, task: Task, net: nn.Module, plates: Images, indices: np.ndarray) -> Answers:
        with torch.no_grad():
            return task.predict(net.eval()(torch.from_numpy(plates.pixels[indices])))

    def test_a_task_is_made_of_images_and_again_of_its_heads(self, task: Task, plates: Images) -> None:
        kind = type(task)
        assert kind.on_images(plates, Aim()) == task
        again = kind.on_heads(task.heads, task.good)
        assert (again.heads, again.classes, again.good) == (task.heads, task.classes, task.good)
        assert tuple(task.heads) == kind.head_names
        assert task.metric == kind.metric_names[0]
        assert str(len(plates)) in task.summary(plates)
        assert task.absent(plates, np.arange(24)) == []
        assert task.absent(plates, np.array([0])) != []

    def test_labels_are_those_of_the_images_asked_for(self, task: Task, plates: Images) -> None:
        labels = task.labels(plates, np.arange(24))
        assert np.array_equal(task.labels(plates, self.INDICES), labels[self.INDICES])
        assert labels.dtype == np.int64
        assert set(labels) <= set(range(len(task.classes)))
        assert task.good in labels

    def test_the_loss_is_float32_and_reaches_every_parameter(self, task: Task, net: nn.Module, plates: Images) -> None:
        truth = Truth.of(plates, self.INDICES, task.needs)
        outputs = self.outputs(net.train(), plates, self.INDICES)
        assert len(outputs) == len(task.head_names)
        loss = task.loss(self.given(outputs), truth)
        loss.backward()
        assert (loss.dtype, loss.shape) == (torch.float32, ())
        assert torch.isfinite(loss)
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
        rough = self.given([output.detach().bfloat16() for output in outputs])
        assert task.loss(rough, truth).dtype == torch.float32

    def test_answers_are_float32_whatever_the_precision(self, task: Task, net: nn.Module, plates: Images) -> None:
        outputs = self.outputs(net, plates, self.INDICES)
        for precise in (outputs, [output.bfloat16() for output in outputs]):
            answers = task.predict(self.given(precise))
            assert list(answers) == list(task.outputs)
            for name, shape in task.outputs.items():
                found = answers[name]
                assert (len(found), found.ndim) == (len(self.INDICES), len(shape.split(","))), name
                assert found.dtype == torch.float32
                assert torch.isfinite(found).all()
                if name == "probabilities":
                    assert (found >= 0).all()
                    torch.testing.assert_close(found.sum(dim=1), torch.ones_like(found[:, 0]))

    def test_records_are_small_and_do_not_depend_on_batches(self, task: Task, net: nn.Module, plates: Images) -> None:
        found, truth = self.answers(task, net, plates, self.INDICES), Truth.of(plates, self.INDICES, task.needs)
        whole, parts = task.record(found, truth), []
        for part in (slice(0, 0), slice(0, 1), slice(1, 6)):
            own = Truth.of(plates, self.INDICES[part], task.needs)
            parts.append(task.record({name: answer[part] for name, answer in found.items()}, own))
        assert len(whole) == 6
        assert np.concatenate(parts).tobytes() == whole.tobytes()
        assert whole.nbytes / len(whole) < 1000
        each = task.image_probabilities(whole)
        assert each.shape == (6, len(task.classes))
        assert ((each >= 0) & (each <= 1)).all()

    def test_figures_are_json_and_alike_for_validation_and_test(
        self, task: Task, net: nn.Module, plates: Images
    ) -> None:
        indices = np.arange(24)
        records = task.record(self.answers(task, net, plates, indices), Truth.of(plates, indices, task.needs))
        labels = task.labels(plates, indices)
        val = task.metrics(records, labels, groups=indices // 2)
        assert json.loads(json.dumps(val)) == val
        assert set(val) >= self.COMMON | {figure.key for figure in task.figures}
        test = task.metrics(records, labels, threshold=val["threshold"], groups=indices // 2, choose=False)
        assert test == {**val, "choices": []}  # the thresholds of other overkills are validation's alone
        blind = task.metrics(records, labels, choose=False)
        assert list(blind) == list(val)
        assert blind["threshold"] is blind["escape"] is blind["overkill"] is None
        assert 0 <= task.score(records, labels) <= 1

    def test_a_perfect_answer_scores_one(self, task: Task, plates: Images) -> None:
        indices = np.arange(24)
        truth, labels = Truth.of(plates, indices, task.needs), task.labels(plates, indices)
        for metric in task.metric_names:
            decided = type(task).on_images(plates, Aim(metric))
            assert decided.score(decided.record(self.perfect(task, truth), truth), labels) == 1.0

    def test_a_perfect_answer_has_no_loss_and_another_has(self, task: Task, net: nn.Module, plates: Images) -> None:
        indices = np.arange(24)
        truth, labels = Truth.of(plates, indices, task.needs), task.labels(plates, indices)
        perfect = task.mean_loss(task.record(self.perfect(task, truth), truth), labels)
        assert perfect == pytest.approx(0, abs=1e-6)
        found = task.record(self.answers(task, net, plates, indices), truth)
        assert perfect < task.mean_loss(found, labels) < np.inf

    def test_the_shipped_graph_says_the_same(self, task: Task, net: nn.Module, plates: Images, tmp_path: Path) -> None:
        with torch.no_grad():
            for _ in range(3):
                net.train()(torch.from_numpy(plates.pixels))
        export_onnx(net, task, tmp_path / "net.onnx", input_shape=plates.shape)
        assert check_parity(net, task, tmp_path / "net.onnx", plates.pixels) < 1e-5
        session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
        expected = self.answers(task, net, plates, np.arange(24))
        for found, name in zip(session.run([*task.outputs], {"pixels": plates.pixels}), task.outputs, strict=True):
            assert found.shape == tuple(expected[name].shape)
