"""From a source as written to decoded samples and batches."""
