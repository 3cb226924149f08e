from __future__ import annotations

import subprocess
import sys

import torch
from torch.nn import functional

from compressdefect.blocks.conv import convolve

TRAIN = """
import torch
from compressdefect.blocks.conv import convolve
torch.set_num_threads(2)
convolution = convolve(8, 8, (1, 1), stride=2).to(memory_format=torch.channels_last)
x = torch.randn(5, 8, 112, 112).to(memory_format=torch.channels_last)
for _ in range(20):
    with torch.autocast("cpu", torch.bfloat16):
        convolution(x).sum().backward()
"""


def test_it_is_the_convolution() -> None:
    convolution = convolve(6, 10, (1, 1), stride=2).double()
    x = torch.randn(3, 6, 9, 12, dtype=torch.float64, requires_grad=True)
    y = convolution(x)
    torch.testing.assert_close(y, functional.conv2d(x, convolution.weight, stride=2))
    torch.testing.assert_close(y, convolution.eval()(x))
    assert torch.autograd.gradcheck(convolution.train(), x)


def test_training_few_channels_does_not_write_past_its_memory() -> None:
    """Of a batch of 5, oneDNN's own gradient of a stride of 2 ends the process."""
    run = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
