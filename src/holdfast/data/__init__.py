"""Reads rows, turns them into token ids, and decides the order in which a training visits them.

`examples.read` -> `tokenization.tokenize` -> `core.mix.Mix`, whose `with_memory` adds the examples of
`memory.load_memory` -> `order.order` -> `core.batches.collate`.
"""
