"""A trained model as a folder on the Hub: files, card, exports."""
