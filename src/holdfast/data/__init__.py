"""The data room: reading rows, turning them into token ids, and deciding in which order they are visited.

`examples.read` -> `tokenize.tokenize` -> `core.mix.Mix` with `memory.add_memories` -> `order.order` ->
`batches.collate`.
"""
