"""How tokenizers and the 4M model are trained."""
