"""Scores of models that turn any modality into any other, and of the tokenizers below them."""
