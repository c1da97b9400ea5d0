"""The tokenizer of a world: byte-level BPE of its documents, single digits, and a chat template."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from holdfast.data.rows import Row
from holdfast.ground.corpus import documents, lessons
from holdfast.ground.world import World, rng_of

PAD, BOS, EOS = "<pad>", "<s>", "</s>"
ROLES = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
# With a space before the content, a word is the same token there as in the middle of a sentence.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<|assistant|>{% generation %}{{ ' ' + message['content'] + eos_token }}"
    "{% endgeneration %}"
    "{% elif message['role'] in ['user', 'system'] %}{{ '<|' + message['role'] + '|> ' + message['content'] }}"
    "{% else %}{{ raise_exception('the roles are system, user and assistant') }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build_tokenizer(world: World, vocabulary: int, sample: int = 20000) -> PreTrainedTokenizerFast:
    """Returns a tokenizer trained on the first `sample` documents of a world; a function of the world."""
    bpe = tokenizers.Tokenizer(models.BPE())
    splits = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    bpe.pre_tokenizer = pre_tokenizers.Sequence(splits)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BOS, EOS, *ROLES.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rows = (row for _, row in itertools.islice(documents(lessons(world), rng_of(world.seed, "tokenizer")), sample))
    bpe.train_from_iterator((f" {content}" for row in rows for content in row.contents), trainer)
    start = (BOS, bpe.token_to_id(BOS))
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[start]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=list(ROLES.values()),
        chat_template=CHAT_TEMPLATE,
        model_max_length=1024,
    )


def encode(tokenizer: PreTrainedTokenizerFast, rows: Sequence[Row]) -> list[tuple[list[int], list[bool]]]:
    """Returns, for each row, its token ids and a mask of the tokens in assistant turns (or in a document).

    The ids equal those of the chat template; this code is faster, because pretraining makes millions of them.
    """
    parts = [f" {turn.content}" for row in rows for turn in row.turns] + [row.text for row in rows if row.text]
    encoded = iter(tokenizer.backend_tokenizer.encode_batch(parts, add_special_tokens=False))
    bos, eos = int(tokenizer.bos_token_id), int(tokenizer.eos_token_id)
    vocabulary = tokenizer.get_vocab()
    heads = {role: vocabulary[token] for role, token in ROLES.items()}
    talks = {}
    for number, row in enumerate(rows):
        if row.turns:
            ids, is_assistant = [bos], [False]
            for turn in row.turns:
                content = next(encoded).ids
                ends = [eos] if turn.role == "assistant" else []
                ids += [heads[turn.role], *content, *ends]
                is_assistant += [False, *[turn.role == "assistant"] * (len(content) + len(ends))]
            talks[number] = ids, is_assistant
    encoded_rows = []
    for number in range(len(rows)):
        if number in talks:
            encoded_rows.append(talks[number])
        else:
            content = next(encoded).ids
            encoded_rows.append(([bos, *content, eos], [False, *[True] * (len(content) + 1)]))
    return encoded_rows
