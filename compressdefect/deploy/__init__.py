"""What ships to the line: export, bundle, card."""
