"""The formulas of the scores, and the `evaluate` metric made of them."""
