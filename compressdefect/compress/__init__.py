"""Making a trained model smaller and faster, step by step, with the proof of each step."""
