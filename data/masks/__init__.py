"""Masks of single objects: where they lie beside photos, how they are stored, which are given for a picture."""
