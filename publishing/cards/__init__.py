"""Model cards, filled from the records of a run."""
