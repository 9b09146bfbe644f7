"""The built-in renderer: rooms and streets with exact depth."""
