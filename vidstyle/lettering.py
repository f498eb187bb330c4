"""Write a line of text into a picture, without a drawing library: a small font of our own.

Letters are 5 pixels wide on 9 rows: capitals fill rows 0-6, descenders reach into 7 and 8. What the font
lacks is written as "?".
"""

from __future__ import annotations

import numpy as np

WIDTH, HEIGHT, ADVANCE = 5, 9, 6
#: from the space on in ASCII's order: nine rows of five bits each, two hexadecimal digits a row
_ROWS = """
000000000000000000 040404040400040000 0a0a0a000000000000 0a0a1f0a1f0a0a0000 040f140e051e040000 181902040813030000
0c12140815120d0000 040408000000000000 020408080804020000 080402020204080000 00040e1f0e0a000000 0004041f0404000000
000000000004040800 0000001f0000000000 000000000006060000 000102040810000000 0e11131519110e0000 040c040404040e0000
0e11010204081f0000 1f02040201110e0000 02060a121f02020000 1f101e0101110e0000 0608101e11110e0000 1f0102040808080000
0e11110e11110e0000 0e11110f01020c0000 000606000606000000 000606000604080000 020408100804020000 00001f001f00000000
080402010204080000 0e1101020400040000 0e1101090d150e0000 0e11111f1111110000 1e11111e11111e0000 0e11101010110e0000
1c12111111121c0000 1f10101e10101f0000 1f10101e1010100000 0e11101711110f0000 1111111f1111110000 0e04040404040e0000
0702020202120c0000 111214181412110000 1010101010101f0000 111b15151111110000 111119151311110000 0e11111111110e0000
1e11111e1010100000 0e11111115120d0000 1e11111e1412110000 0f10100e01011e0000 1f0404040404040000 1111111111110e0000
11111111110a040000 11111115151b110000 11110a040a11110000 1111110a0404040000 1f01020408101f0000 0e08080808080e0000
001008040201000000 0e02020202020e0000 040a11000000000000 000000000000001f00 080402000000000000 00000e010f110f0000
10101e1111111e0000 00000e1010110e0000 01010f1111110f0000 00000e111f100e0000 0609081c0808080000 00000f1111110f010e
10101e111111110000 04000c0404040e0000 020006020202020212 101012141814120000 0c04040404040e0000 00001a151511110000
00001e111111110000 00000e1111110e0000 00001e1111111e1010 00000f1111110f0101 000016190810100000 00000f100e011e0000
08081c080809060000 0000111111130d0000 00001111110a040000 0000111115150a0000 0000110a040a110000 00001111110f01110e
00001f0204081f0000 020404080404020000 040404040404040000 080404020404080000 000008150200000000
"""


def _font() -> np.ndarray:
    """bool [characters, HEIGHT, WIDTH]."""
    rows = np.array([list(bytes.fromhex(glyph)) for glyph in _ROWS.split()], np.uint8)
    return (rows[:, :, None] >> np.arange(WIDTH)[::-1]) & 1 > 0


def text_width(text: str, scale: int = 2) -> int:
    """Pixels from the first column of ``text`` to its last."""
    return max(0, len(text) * ADVANCE - 1) * scale


def shorten(text: str, width: int, scale: int = 2) -> str:
    """``text``, or its beginning and ``..`` where it is wider than ``width`` pixels."""
    if text_width(text, scale) <= width:
        return text
    return text[: max(0, (width // scale + 1) // ADVANCE - 2)] + ".."


def write_text(image: np.ndarray, text: str, x: int, y: int, colour: tuple[int, int, int], scale: int = 2) -> None:
    """Draw into uint8 [H, W, 3] with the top left at (x, y); what lies outside of the picture is cut off."""
    font = _font()
    codes = [ord(c) - ord(" ") for c in text]
    known = [code if 0 <= code < len(font) else ord("?") - ord(" ") for code in codes]
    line = np.zeros((HEIGHT, len(known), ADVANCE), bool)
    line[:, :, :WIDTH] = font[known].transpose(1, 0, 2)
    ink = _enlarge(line.reshape(HEIGHT, -1), scale)
    part = image[y : y + ink.shape[0], x : x + ink.shape[1]]
    part[ink[: part.shape[0], : part.shape[1]]] = colour


def _enlarge(ink: np.ndarray, scale: int) -> np.ndarray:
    """Repeat pixels; even scales round the steps (EPX: a corner takes the ink its two neighbours agree on)."""
    if scale % 2:
        return ink.repeat(scale, 0).repeat(scale, 1)
    padded = np.pad(ink, 1)
    up, down, left, right = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    out = ink.repeat(2, 0).repeat(2, 1)
    corners = ((left, up, right, down), (up, right, down, left), (down, left, up, right), (right, down, left, up))
    for (row, column), (a, b, c, d) in zip(((0, 0), (0, 1), (1, 0), (1, 1)), corners, strict=True):
        out[row::2, column::2] = np.where((a == b) & (a != c) & (b != d), a, ink)
    return out.repeat(scale // 2, 0).repeat(scale // 2, 1)
