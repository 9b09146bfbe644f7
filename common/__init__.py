"""What every room may use: files, console, retries, redaction."""
