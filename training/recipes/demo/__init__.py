"""The parts of the demo: models, scores, tables, pictures."""
