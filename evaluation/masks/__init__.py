"""Scores of promptable masks: clicks of a simulated annotator, metrics, and simple baselines at the same clicks."""
