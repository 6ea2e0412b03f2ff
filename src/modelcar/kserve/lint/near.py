"""Words that were probably meant."""

from __future__ import annotations

from collections.abc import Collection

_MOST = 64
"""So many words are looked up: each costs a comparison with every word that there is."""
_LONGEST = 100


class Guesses:
    """What was probably meant by words that nobody knows. The first of them are looked up, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], str] = {}

    def near(self, text: str, what: str, known: Collection[str], cutoff: float = 0.75) -> str:
        """The word that was probably meant; empty where none is near.

        Args:
            text: What is written.
            what: What kind of word it should be: of one kind always the same words are known.
            known: The words that there are.
            cutoff: How like it must be, from 0 to 1.
        """
        key = (text, what)
        found = self._found.get(key)
        if found is None:
            if len(text) > _LONGEST or len(self._found) >= _MOST:
                return ""
            found = self._found[key] = _near(text, known, cutoff)
        return found


def _near(text: str, known: Collection[str], cutoff: float) -> str:
    # Loaded here: files without a mistake needn't wait for it.
    from difflib import get_close_matches

    folded = {word.lower(): word for word in known}
    if text.lower() in folded:
        return folded[text.lower()]
    found = get_close_matches(text, known, 1, cutoff)
    return found[0] if found else ""
