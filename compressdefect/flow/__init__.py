"""What a long command does from end to end: images in, run folder out."""
