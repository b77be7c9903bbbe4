"""English words that are said in two ways, told apart by the word before them.

Only pairs where that word is a fair guide: after `to`, a modal or a pronoun a verb is likely, after an article or a
possessive a noun.
"""

from audiogen.text.phones import INVENTORY

_BEFORE_VERB = frozenset(
    "to will would can could shall should may might must i you we they who not don't didn't won't can't "
    "cannot couldn't wouldn't doesn't please let's "
    "i'll you'll we'll they'll he'll she'll it'll i'd you'd we'd they'd".split()
)
_BEFORE_NOUN = frozenset(
    "a an the this that these those my your his her its our their no any some each every of".split()
)

# word: (as a noun or adjective, as a verb)
_PRONUNCIATIONS = {
    "abuse": ("əbjˈus", "əbjˈuz"),
    "close": ("klˈoʊs", "klˈoʊz"),
    "conduct": ("kˈɑndəkt", "kəndˈʌkt"),
    "conflict": ("kˈɑnflɪkt", "kənflˈɪkt"),
    "content": ("kˈɑntɛnt", "kəntˈɛnt"),
    "contract": ("kˈɑntɹækt", "kəntɹˈækt"),
    "contrast": ("kˈɑntɹæst", "kəntɹˈæst"),
    "desert": ("dˈɛzɚt", "dɪzˈɝt"),
    "excuse": ("ɪkskjˈus", "ɪkskjˈuz"),
    "export": ("ˈɛkspɔɹt", "ɪkspˈɔɹt"),
    "house": ("hˈaʊs", "hˈaʊz"),
    "import": ("ˈɪmpɔɹt", "ɪmpˈɔɹt"),
    "increase": ("ˈɪnkɹˌis", "ɪnkɹˈis"),
    "insult": ("ˈɪnsəlt", "ɪnsˈʌlt"),
    "lead": ("lˈid", "lˈid"),
    "live": ("lˈaɪv", "lˈɪv"),
    "object": ("ˈɑbdʒɛkt", "əbdʒˈɛkt"),
    "permit": ("pˈɝmˌɪt", "pɚmˈɪt"),
    "present": ("pɹˈɛzənt", "pɹɪzˈɛnt"),
    "produce": ("pɹˈoʊdus", "pɹədˈus"),
    "progress": ("pɹˈɑɡɹˌɛs", "pɹəɡɹˈɛs"),
    "project": ("pɹˈɑdʒɛkt", "pɹədʒˈɛkt"),
    "protest": ("pɹˈoʊtˌɛst", "pɹətˈɛst"),
    "read": ("ɹˈid", "ɹˈid"),
    "rebel": ("ɹˈɛbəl", "ɹɪbˈɛl"),
    "record": ("ɹˈɛkɚd", "ɹɪkˈɔɹd"),
    "refuse": ("ɹˈɛfjˌuz", "ɹɪfjˈuz"),
    "reject": ("ɹˈidʒɛkt", "ɹɪdʒˈɛkt"),
    "subject": ("sˈʌbdʒɪkt", "səbdʒˈɛkt"),
    "suspect": ("sˈʌspɛkt", "səspˈɛkt"),
    "tear": ("tˈɪɹ", "tˈɛɹ"),
    "transport": ("tɹˈænspɔɹt", "tɹænspˈɔɹt"),
    "use": ("jˈus", "jˈuz"),
    "wind": ("wˈɪnd", "wˈaɪnd"),
}


def say(previous: str, word: str) -> list[str] | None:
    """The phones of `word` after the word `previous`, or None where that decides nothing."""
    if word not in _PRONUNCIATIONS:
        return None
    noun, verb = _PRONUNCIATIONS[word]
    if previous in _BEFORE_VERB:
        return INVENTORY.parse(verb)
    return INVENTORY.parse(noun) if previous in _BEFORE_NOUN else None
