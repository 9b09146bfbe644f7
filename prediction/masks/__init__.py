"""Masks of things that are pointed at: answers of a mask model, and what is cut out measured and written."""
