"""Plans for rerankers: facts about a cross-encoder and its queries, and advice on its training."""
