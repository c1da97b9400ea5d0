"""A byte-level tokenizer made on the spot, and chat templates of the shapes met in the wild."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, processors

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITH_BOS = "{{ bos_token }}" + CHATML
THOUGHTS_OF_THE_LAST_TURN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think></think>\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEADER_WITH_MORE = CHATML.replace("<|im_start|>assistant\n{% endif", "<|im_start|>assistant\n<think></think>{% endif")
COUNTS_MESSAGES = "{{ messages | length }}" + CHATML
REFUSES_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role.') }}{% endif %}" + CHATML
ENDS_EVERY_CONVERSATION = CHATML + "{% if not add_generation_prompt %}{{ eos_token }}{% endif %}"
WRITES_NO_END = CHATML.replace("<|im_end|>", "")
WANTS_PARTS = CHATML.replace("{{ m.content }}", "{% for part in m.content %}{{ part.text }}{% endfor %}")
LOSES_WORDS = CHATML.replace("{{ m.content }}", "{% if m.role == 'user' %}{{ m.content }}{% endif %}")

MERGES = [("a", "b"), ("Ġ", "x")]
SPECIAL = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., transformers.PreTrainedTokenizerFast]:
    """Makes a byte-level tokenizer; `ab` and ` x` merge across any boundary."""

    def make(
        template: str | None = None, *, bos: bool = False, eos: bool = True, eos_by_habit: bool = False
    ) -> transformers.PreTrainedTokenizerFast:
        names = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in MERGES)]
        vocabulary = {name: i for i, name in enumerate(names)}
        fast = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=MERGES))
        fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        fast.decoder = decoders.ByteLevel()
        fast.add_special_tokens(SPECIAL)
        if bos or eos_by_habit:
            single = ("<s> " if bos else "") + "$A" + (" </s>" if eos_by_habit else "")
            fast.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 1), ("</s>", 2)])
        made = transformers.PreTrainedTokenizerFast(
            tokenizer_object=fast, pad_token="<pad>", bos_token="<s>", eos_token="</s>" if eos else None
        )
        made.chat_template = template
        return made

    return make


@pytest.fixture(scope="session")
def learned() -> Callable[..., str]:
    """Decodes the tokens of an example that carry a label."""

    def decode(example: object, tokenizer: transformers.PreTrainedTokenizerFast) -> str:
        ids = [i for i, label in zip(example.input_ids, example.labels, strict=True) if label != -100]
        assert ids == [label for label in example.labels if label != -100]
        return tokenizer.decode(ids)

    return decode
