"""The model that comes with the package: found by its name, checked, and its metric heads put on their core."""
