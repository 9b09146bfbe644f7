"""Stream samples of several sources to the readers of a run, in batches, with a place to resume from."""
