"""Options of the training commands: a frozen dataclass for each command, and presets of options."""
