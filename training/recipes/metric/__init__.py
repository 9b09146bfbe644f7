"""Recipe of the metric model: the model to start from, checks of labels, training, validation."""
