"""Options of the training commands, a dataclass each."""
