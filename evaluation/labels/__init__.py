"""Checks of labels: the direction of their maps, and the agreement of several predictions."""
