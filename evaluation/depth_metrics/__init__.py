"""The formulas of the scores, and the `evaluate` metric made of them.

Also what the metric Space ships beside its app.py: the folder stays flat, imports relatively, one module a line, and
needs nothing else of this package.
"""
