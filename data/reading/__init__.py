"""Open the files of a source and read undecoded rows from them."""
