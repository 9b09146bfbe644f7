"""Options of the training commands: a frozen dataclass each, and presets for the built-in scenes."""
