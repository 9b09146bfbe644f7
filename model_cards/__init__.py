"""Text templates of model cards, filled by `semidepth.publishing.cards.model_card`."""
