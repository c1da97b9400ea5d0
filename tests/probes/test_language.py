"""The language of a text, on parallel sentences of many languages."""

from __future__ import annotations

import gzip
import json

import pytest

from holdfast.probes.language import language_of

CODES = {
    "eng_Latn": "en",
    "spa_Latn": "es",
    "por_Latn": "pt",
    "arb_Arab": "ar",
    "hin_Deva": "hi",
    "fra_Latn": "fr",
    "rus_Cyrl": "ru",
    "deu_Latn": "de",
    "jpn_Jpan": "ja",
    "ita_Latn": "it",
    "vie_Latn": "vi",
    "swh_Latn": "sw",
}


@pytest.fixture(scope="module")
def rows(shared_data):
    with gzip.open(shared_data / "flores200" / "dev.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize("column", CODES)
def test_three_sentences_tell_their_language(rows, column):
    texts = [" ".join(row[column] for row in rows[start : start + 3]) for start in range(0, 300, 3)]
    right = sum(language_of(text) == CODES[column] for text in texts)
    assert right >= 99
    english = CODES[column] == "en"
    assert (sum(language_of(text.upper()) == CODES[column] for text in texts) >= 95) or not english


@pytest.mark.parametrize(
    "text",
    [
        "I like rain very much.",
        "A forest is a geographical region where trees predominate.",
        "Bitcoin is basically a secure way to maintain a virtual ledger",
        "Howl's Moving Castle is a fantasy novel by British author Diana Wynne Jones.",
        "1. Write them a card 2. Text them a message 3. Send them some flowers",
    ],
)
def test_plain_english_is_english(text):
    """Its articles and pronouns are words of Portuguese, Czech and Polish too, and were none of English."""
    assert language_of(text) == "en"


@pytest.mark.parametrize(("column", "code", "least"), [("eng_Latn", "en", 990), ("tur_Latn", "tr", 800)])
def test_a_sentence_alone_mostly_tells_its_language(rows, column, code, least):
    assert sum(language_of(row[column]) == code for row in rows) >= least


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ಇದು ಒಂದು ಒಳ್ಳೆಯ ದಿನ", "kn"),
        ("આ એક સારો દિવસ છે", "gu"),
        ("ਇਹ ਇੱਕ ਚੰਗਾ ਦਿਨ ਹੈ", "pa"),
        ("இது ஒரு நல்ல நாள்", "ta"),
        ("ఇది మంచి రోజు", "te"),
        ("এটি একটি ভালো দিন", "bn"),
        ("ഇത് ഒരു നല്ല ദിവസമാണ്", "ml"),
        ("นี่เป็นวันที่ดี", "th"),
        ("오늘은 좋은 날입니다", "ko"),
        ("זה יום טוב", "he"),
        ("हा एक चांगला दिवस आहे आणि मी आनंदी आहे", "mr"),
        ("यो एक राम्रो दिन हो र म खुसी छु", "ne"),
        ("این یک روز خوب است و من خوشحالم", "fa"),
        ("یہ ایک اچھا دن ہے اور میں خوش ہوں", "ur"),
        ("Це хороший день, і я щасливий, що він є", "uk"),
        ("Това е хубав ден и аз съм щастлив, че е така", "bg"),
        ("Tämä on hyvä päivä ja minä olen iloinen, että se on", "fi"),
        ("To jest dobry dzień i jestem szczęśliwy, że się to stało", "pl"),
        ("123 !?", None),
        ("", None),
    ],
)
def test_a_sentence_in_another_script_or_language(text, code):
    assert language_of(text) == code
