"""What is wrong in an image, as it was annotated."""
