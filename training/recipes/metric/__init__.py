"""Metric depth on a relative student: the model, its labels, its training."""
