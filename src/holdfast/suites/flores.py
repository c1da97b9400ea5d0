"""FLORES-200: its parallel sentences as records of one language each, with wrong translations to choose among."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from holdfast.data.files import Record

ENGLISH = "eng_Latn"
LANGUAGES = {
    "amh_Ethi": "Amharic",
    "arb_Arab": "Arabic",
    "ayr_Latn": "Aymara",
    "bod_Tibt": "Tibetan",
    "ceb_Latn": "Cebuano",
    "cym_Latn": "Welsh",
    "deu_Latn": "German",
    "eus_Latn": "Basque",
    "ewe_Latn": "Ewe",
    "fra_Latn": "French",
    "gla_Latn": "Scottish Gaelic",
    "gle_Latn": "Irish",
    "glg_Latn": "Galician",
    "grn_Latn": "Guarani",
    "hat_Latn": "Haitian Creole",
    "hau_Latn": "Hausa",
    "hin_Deva": "Hindi",
    "ibo_Latn": "Igbo",
    "ind_Latn": "Indonesian",
    "isl_Latn": "Icelandic",
    "ita_Latn": "Italian",
    "jav_Latn": "Javanese",
    "jpn_Jpan": "Japanese",
    "kin_Latn": "Kinyarwanda",
    "kmr_Latn": "Northern Kurdish",
    "lin_Latn": "Lingala",
    "lug_Latn": "Luganda",
    "mlt_Latn": "Maltese",
    "mri_Latn": "Maori",
    "nya_Latn": "Nyanja",
    "por_Latn": "Portuguese",
    "quy_Latn": "Ayacucho Quechua",
    "rus_Cyrl": "Russian",
    "smo_Latn": "Samoan",
    "sna_Latn": "Shona",
    "som_Latn": "Somali",
    "spa_Latn": "Spanish",
    "swh_Latn": "Swahili",
    "tgl_Latn": "Tagalog",
    "tir_Ethi": "Tigrinya",
    "tpi_Latn": "Tok Pisin",
    "tur_Latn": "Turkish",
    "twi_Latn": "Twi",
    "vie_Latn": "Vietnamese",
    "wol_Latn": "Wolof",
    "xho_Latn": "Xhosa",
    "yor_Latn": "Yoruba",
    "zho_Hans": "Chinese",
    "zul_Latn": "Zulu",
}
"""The languages that are parts of the suites, by their code in FLORES-200, in English."""

WRONG = 3
"""Number of wrong translations of an item."""


def sentences(records: Iterable[Record], language: str = "") -> Iterator[Record]:
    """Yields a record for each sentence of each language, from records with one sentence in all languages.

    A record has the `language`, the `number` of the sentence, its `group` (the same in all languages), the `english`
    sentence, the `sentence` itself and the `wrong` translations: those of other sentences, drawn by a hash of the
    language and the number, of which the nearest in length are taken, so that length says little.

    Args:
        records: Records whose fields are codes of languages (`swh_Latn`), or these behind `sentence_`, as on the hub.
        language: Code of the language that is taken; all that the records have, if empty.
    """
    rows = [
        (origin, {key.removeprefix("sentence_"): value for key, value in record.items()})
        for origin, record in records
        if isinstance(record, dict)
    ]
    for code in [language] if language else LANGUAGES:
        texts = [str(row.get(code) or "") for _, row in rows]
        for number, (origin, row) in enumerate(rows):
            if texts[number] and row.get(ENGLISH):
                yield (
                    f"{origin} ({code})",
                    {
                        "language": code,
                        "number": number + 1,
                        "group": f"flores200 {number + 1}",
                        "english": str(row[ENGLISH]),
                        "sentence": texts[number],
                        "wrong": _wrong(code, number, texts),
                    },
                )


def _wrong(code: str, number: int, texts: Sequence[str]) -> list[str]:
    """Returns wrong translations of a sentence: of the sentences that a hash draws, the nearest in length."""
    digest = hashlib.blake2b(f"{code}/{number}".encode(), digest_size=64).digest()
    drawn = [int.from_bytes(digest[i : i + 2], "big") % len(texts) for i in range(0, len(digest), 2)]
    candidates = dict.fromkeys(texts[place] for place in drawn if texts[place] not in ("", texts[number]))
    return sorted(candidates, key=lambda text: abs(len(text) - len(texts[number])))[:WRONG]
