"""Changes of training images."""
