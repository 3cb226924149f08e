"""compressdefect finds and compresses neural networks for visual defect inspection."""

__version__ = "0.1.0"
