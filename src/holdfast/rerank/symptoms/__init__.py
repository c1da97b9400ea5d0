"""Ways in which the fine-tuning of a reranker goes wrong, as tests of its scores against those of the base."""
