"""Templates of model cards; `semidepth.training.engine.cards` fills them from a run's folder."""
