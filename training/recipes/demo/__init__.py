"""Parts of the demo: training and scoring of its models, tables and pictures."""
