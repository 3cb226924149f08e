"""Every block, against the shared contract."""

from __future__ import annotations

from torch import nn

from compressdefect.blocks.aspp import ASPP, aspp_cost
from compressdefect.blocks.blurpool import BlurPool, blurpool_cost
from compressdefect.blocks.column import Column, ColumnStage, column_stage_cost
from compressdefect.blocks.condenser import Condenser, Condensing, condenser_cost
from compressdefect.blocks.conv import Conv
from compressdefect.blocks.downsample import Downsampling, downsample, downsample_cost
from compressdefect.blocks.grouped import Grouped, grouped_cost
from compressdefect.blocks.head import ColumnHead, head_cost
from compressdefect.blocks.inverted import Inverted, inverted_cost
from compressdefect.blocks.lw import KERNEL_SETS, LWBottleneck, lw_cost
from compressdefect.blocks.residual import Residual, residual_cost
from compressdefect.blocks.same_conv import SameConv, same_conv_cost
from compressdefect.blocks.separable import Separable, separable_cost
from compressdefect.blocks.standardize import Standardize, standardize_cost
from compressdefect.cost.piece import Piece, Shape, convolution
from tests.contracts import BlockContract

CONDENSING = Condensing(reduction=2, pool=4, depth=2, groups=2)
COLUMNS = (Column("residual", (), Condensing()), Column("separable", (5,)))


class TestConv(BlockContract):
    @staticmethod
    def make() -> Conv:
        return Conv(8, 12, kernel=5, stride=2)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return convolution(shape, 12, 5, 2)


class TestResidual(BlockContract):
    @staticmethod
    def make() -> Residual:
        return Residual(8)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return residual_cost(shape)


class TestStandardize(BlockContract):
    @staticmethod
    def make() -> Standardize:
        return Standardize(8)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return standardize_cost(shape)


class TestGrouped(BlockContract):
    @staticmethod
    def make() -> Grouped:
        return Grouped(8, groups=4)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return grouped_cost(shape, 4)


class TestSeparable(BlockContract):
    @staticmethod
    def make() -> Separable:
        return Separable(8, kernel=5)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return separable_cost(shape, 5)


class TestInverted(BlockContract):
    @staticmethod
    def make() -> Inverted:
        return Inverted(8, kernel=5, expand=3)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return inverted_cost(shape, 5, 3)


class TestBlurPool(BlockContract):
    @staticmethod
    def make() -> BlurPool:
        return BlurPool(8, kernel=4)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return blurpool_cost(shape, 4)


class TestMaxBlurPool(BlockContract):
    @staticmethod
    def make() -> BlurPool:
        return BlurPool(8, kernel=5, maximum=True)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return blurpool_cost(shape, 5, True)


class TestStridedConv(BlockContract):
    @staticmethod
    def make() -> nn.Module:
        return downsample(8, Downsampling("conv"))

    @staticmethod
    def price(shape: Shape) -> Piece:
        return downsample_cost(shape, Downsampling("conv"))


class TestStridedPointwise(BlockContract):
    @staticmethod
    def make() -> nn.Module:
        return downsample(8, Downsampling("pointwise"))

    @staticmethod
    def price(shape: Shape) -> Piece:
        return downsample_cost(shape, Downsampling("pointwise"))


class TestMaxPool(BlockContract):
    @staticmethod
    def make() -> nn.Module:
        return downsample(8, Downsampling("maxpool"))

    @staticmethod
    def price(shape: Shape) -> Piece:
        return downsample_cost(shape, Downsampling("maxpool"))


class TestCondenser(BlockContract):
    @staticmethod
    def make() -> Condenser:
        return Condenser(8)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return condenser_cost(shape, Condensing())


class TestDeepCondenser(BlockContract):
    @staticmethod
    def make() -> Condenser:
        return Condenser(8, CONDENSING)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return condenser_cost(shape, CONDENSING)


class TestIndependentColumns(BlockContract):
    @staticmethod
    def make() -> ColumnStage:
        return ColumnStage(8, 4, COLUMNS, depth=2, exchange=0)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return column_stage_cost(shape, 4, COLUMNS, 2, 0)


class TestExchangingColumns(BlockContract):
    @staticmethod
    def make() -> ColumnStage:
        return ColumnStage(8, 4, COLUMNS, depth=3, exchange=1)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return column_stage_cost(shape, 4, COLUMNS, 3, 1)


class TestSingleColumn(BlockContract):
    @staticmethod
    def make() -> ColumnStage:
        return ColumnStage(8, 4, COLUMNS[:1], depth=2, exchange=1)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return column_stage_cost(shape, 4, COLUMNS[:1], 2, 1)


class TestHead(BlockContract):
    @staticmethod
    def make() -> ColumnHead:
        return ColumnHead(8, classes=3, columns=2)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return head_cost(shape, 3, 2)


class TestEvenSameConv(BlockContract):
    @staticmethod
    def make() -> SameConv:
        return SameConv(8, 12, (2, 4), stride=2, groups=4)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return same_conv_cost(shape, 12, (2, 4), 2, 4)


class TestAtrousSameConv(BlockContract):
    @staticmethod
    def make() -> SameConv:
        return SameConv(8, 8, (3, 2), groups=8, dilation=3, relu=False)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return same_conv_cost(shape, 8, (3, 2), 1, 8)


class TestLWBottleneck(BlockContract):
    @staticmethod
    def make() -> LWBottleneck:
        return LWBottleneck(8, 8)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return lw_cost(shape, 8)


class TestStridedLWBottleneck(BlockContract):
    @staticmethod
    def make() -> LWBottleneck:
        return LWBottleneck(8, 12, stride=2)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return lw_cost(shape, 12, stride=2)


class TestLWBottleneckOfOneKernel(BlockContract):
    @staticmethod
    def make() -> LWBottleneck:
        return LWBottleneck(8, 8, KERNEL_SETS["square"])

    @staticmethod
    def price(shape: Shape) -> Piece:
        return lw_cost(shape, 8, KERNEL_SETS["square"])


class TestASPP(BlockContract):
    @staticmethod
    def make() -> ASPP:
        return ASPP(8, 6)

    @staticmethod
    def price(shape: Shape) -> Piece:
        return aspp_cost(shape, 6)
