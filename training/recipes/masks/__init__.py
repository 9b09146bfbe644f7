"""Recipe of the promptable mask model: the model to start from, prompts drawn round by round, training, validation."""
