"""The parts of each training that are its own: teachers, selection, heads, hooks."""
