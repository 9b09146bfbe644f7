"""Helpers that every room may use: files, console, options, retries, redaction."""
