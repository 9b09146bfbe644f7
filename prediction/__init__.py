"""From a loaded model and an image to its depth."""
