"""Results of a prediction: colours, read-outs, files, scenes, and the depth of clips."""
