"""Templates of model cards; `semidepth.publishing.cards` fills them from a run's folder."""
