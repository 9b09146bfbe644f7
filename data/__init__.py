"""Data sources: parse, read, decode, stream and batch them."""
