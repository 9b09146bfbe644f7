"""What labels are worth: which way their maps run, and how far several predictions agree."""
