"""4M: tokenizers of maps, and the model that turns any modality into any other.

The files of this folder import each other alone, by flat relative imports: they travel beside the weights.
"""
