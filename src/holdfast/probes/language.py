"""Which language a text is in, among the thirty of IFEval: by its script, then by letters and common words."""

from __future__ import annotations

import collections
import re
import unicodedata

_BY_SCRIPT = {
    "BENGALI": "bn",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "THAI": "th",
    "HEBREW": "he",
    "HANGUL": "ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
}
"""Languages that alone have their script here."""

_WORDS = {
    "LATIN": {
        "en": "the of and to in is that it for was with as on be at by this are from have not you which or but they "
        "a an i he she we his its their can will how what when there if has had were been your my than into about "
        "would could should who these those most some any because more such other used many only where why",
        "es": "el la de que y los en se las del un por con una para su es al como más pero sus este ya muy también fue",
        "pt": "o a de que e do da em um para com não uma os no se na por mais as dos como mas foi ao das são também",
        "fr": "le la les de des et à un une est en que qui dans pour sur pas au avec ce il elle sont du nous vous ont",
        "de": "der die und das den von zu mit sich des auf für ist im dem nicht ein eine als auch es an werden aus wie",
        "it": "il di che e la un per non in una sono del con della le si da al dei gli nel anche come è più questo "
        "i a lo ha",
        "pl": "i w na z się do nie że jest o to jak dla od po przez który są oraz za ale czy może tym które było być",
        "vi": "và của là có được cho trong không những một các với người này đã để khi như tôi bạn đó về ra nhiều cũng",
        "fi": "ja on ei se että oli hän mutta ovat kun myös joka sen ole niin kuin tai olla jos voi mukaan hänen jotka",
        "sw": "ya na wa kwa ni katika za la kuwa cha hii hiyo kama watu yake lakini huo wake pia hizo sana hilo vya",
        "nl": "de het een en van ik te dat die in niet zijn is was op aan met voor er maar om ook als bij naar deze",
        "sv": "och att det som en på är av för med till den har inte om ett han men var jag sig från vi så kan när",
        "id": "yang dan di dengan untuk ini itu dari tidak dalam akan pada ada adalah juga oleh bisa saya mereka",
        "tr": "ve bir bu için ile da de çok olarak daha ne gibi olan kadar sonra var değil ama en o ise her bunu göre "
        "ya olduğu olduğunu tarafından ancak şekilde iki kendi ilk diye ki mi üzerinde birlikte büyük ayrıca bunun",
        "ro": "și de la în a cu pe nu care este din că un o pentru mai sunt al au ce prin sau fost dar lui fi această",
        "cs": "a se na je v že s z o do to i pro k ale jako za by po byl jsou které také od který jsem však tak při až",
    },
    "CYRILLIC": {
        "ru": "и в не на что с он как это по но из у за от для я его было так все она был к же мы ы э",
        "uk": "і в не на що з як це по але із у за від для я його було так та він й до є ї ґ",
        "bg": "и на да се в от за не е с са по че това си като ще но при до той бе беше или има който ъ",
    },
    "ARABIC": {
        "ar": "في من على إلى أن التي عن هذا الذي هذه كان ما لا مع هو قد كما بعد بين و ة ال",
        "fa": "در به از که این را با است برای آن یک می خود تا بر های شود کرد شده پ چ گ ژ ی ک",
        "ur": "کے میں کی ہے اور سے کا کو پر نے ہیں کہ یہ اس ایک بھی تھا کر ٹ ڈ ڑ ے ہ ں ھ",
    },
    "DEVANAGARI": {
        "hi": "के में है की और से का को पर ने हैं कि यह एक इस भी नहीं था कर लिए हो या जो तो वह",
        "mr": "आणि आहे या व च्या ते तर हे होते होता मध्ये नाही एक त्या आहेत पण केली केला असे त्यांनी साठी मी ळ",
        "ne": "र छ को मा यो पनि का भएको हो ले लाई गर्न छन् गरेको भने एक हुन्छ थियो तर उनले अनि गर्ने हुन् गर्नु",
    },
}
"""Common words, and letters, of languages that share a script; the letters count as words of one letter."""

_COMMON = {script: {code: frozenset(words.split()) for code, words in of.items()} for script, of in _WORDS.items()}


def language_of(text: str) -> str | None:
    """Returns the code of the language that a text is likeliest to be in (ISO 639-1); None where nothing says it.

    It knows the languages that IFEval asks for and some neighbours. It is a rule and no model, so that a score does not
    depend on what else is installed.
    """
    letters = [letter for letter in unicodedata.normalize("NFC", text) if letter.isalpha()]
    scripts = collections.Counter(unicodedata.name(letter, "").split(" ", 1)[0] for letter in letters)
    if not scripts:
        return None
    if scripts["HIRAGANA"] + scripts["KATAKANA"] > 0.1 * len(letters):
        return "ja"
    script = scripts.most_common(1)[0][0]
    if script == "CJK":
        return "zh"
    if script not in _COMMON:
        return _BY_SCRIPT.get(script)
    words = collections.Counter(re.findall(r"[^\W\d_]+(?:[\u0900-\u0903\u093a-\u094f][^\W\d_]*)*", _folded(text)))
    marks = collections.Counter(letter.casefold() for letter in letters)
    return _likeliest(script, words, marks)


def _folded(text: str) -> str:
    """Returns a text in lower case; the dot that is left of a Turkish capital I would part its word."""
    return text.casefold().replace("i\u0307", "i")


def _likeliest(script: str, words: collections.Counter[str], marks: collections.Counter[str]) -> str | None:
    """Returns the language of a script whose common words, and letters of its own, are most of a text."""
    total, letters = max(1, sum(words.values())), max(1, sum(marks.values()))
    shares = {}
    for code, common in _COMMON[script].items():
        own = {word for word in common if len(word) == 1} if script in ("CYRILLIC", "ARABIC") else set()
        said = sum(words[word] for word in common) / total
        shares[code] = said + 4 * sum(marks[mark] for mark in own if _tells(script, mark)) / letters
    best = max(shares, key=lambda code: shares[code])
    if shares[best] == 0:
        return None if script == "LATIN" else best
    return best


def _tells(script: str, mark: str) -> bool:
    """Returns whether a letter is common to one language of its script alone."""
    return sum(mark in common for common in _COMMON[script].values()) == 1 and mark in "ыэіїєґъپچگژٹڈڑےہںھةي"
