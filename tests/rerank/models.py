"""Tiny rerankers of all kinds, made from nothing."""

import tokenizers
import torch
from tokenizers import models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
TEXT = "yes no where does anna live in oakmere the price of a lamp is ten coins cat sleeps"
WORDS = [*SPECIAL, *TEXT.split()]


def words_tokenizer(pair=True):
    words = tokenizers.Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if pair:
        words.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        eos_token="[SEP]",
        model_max_length=40,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"]
        if pair
        else ["input_ids", "attention_mask"],
    )


def _bert(labels=1):
    return BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        num_labels=labels,
        pad_token_id=0,
        initializer_range=0.3,
    )


def cross_encoder(folder, seed=0, labels=1):
    torch.manual_seed(seed)
    BertForSequenceClassification(_bert(labels)).save_pretrained(folder)
    words_tokenizer().save_pretrained(folder)
    return str(folder)


def bi_encoder(folder, seed=0):
    import sentence_transformers
    from sentence_transformers.sentence_transformer import modules

    torch.manual_seed(seed)
    BertModel(_bert()).save_pretrained(folder / "transformer")
    words_tokenizer().save_pretrained(folder / "transformer")
    transformer = modules.Transformer(str(folder / "transformer"))
    model = sentence_transformers.SentenceTransformer(modules=[transformer, modules.Pooling(16)], device="cpu")
    model.save(str(folder / "model"))
    return str(folder / "model")


TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} {{ message['content'] }} {% endfor %}is the lamp yes or no "
)


def causal(folder, seed=0):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        pad_token_id=0,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer = words_tokenizer(pair=False)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return str(folder)
