"""Templates of model cards; `semidepth.publishing.cards.model_card` fills them from a run's folder."""
