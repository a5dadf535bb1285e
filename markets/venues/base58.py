"""Base58 as Bitcoin and Solana write it: each leading zero byte is one leading `1`.

ccxt 4.5.90 drops those bytes, which spoils one signature in 256.
"""

from typing import Final

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}


def encode(data: bytes) -> str:
    number = int.from_bytes(data)
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return _ALPHABET[0] * zeros + "".join(reversed(digits))


def decode(text: str) -> bytes:
    """Return the bytes behind `text`; raises ValueError for a character base58 has not."""
    number = 0
    for character in text:
        value = _VALUES.get(character)
        if value is None:
            raise ValueError("not base58")
        number = number * 58 + value
    zeros = len(text) - len(text.lstrip(_ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)
