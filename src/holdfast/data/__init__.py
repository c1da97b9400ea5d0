"""The data room: reading rows, turning them into token ids, and deciding in which order they are visited.

`examples.read` -> `tokenize.tokenize` -> `core.mix.Mix`, whose `with_memory` adds what `memory.load_memory` reads ->
`order.order` -> `core.batches.collate`.
"""
