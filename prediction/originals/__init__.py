"""Weights in the layout of the repositories they come from, as folders that transformers and semidepth load."""
