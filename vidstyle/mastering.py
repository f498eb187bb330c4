"""Static HDR metadata: the screen the pictures were made on, and how bright they get (SMPTE ST 2086, CTA-861.3)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

Point = tuple[Fraction, Fraction]
Number = Callable[[Fraction, Fraction], str]  # (value, unit of the encoder)


@dataclass(frozen=True)
class Mastering:
    """What of it a stream carries; exact, as it is written in the stream.

    Attributes:
        primaries: CIE 1931 (x, y) of red, green, blue; None where not said.
        white: (x, y) of the white point; None where not said.
        luminance: (lowest, highest) of the screen in cd/m2; None where not said.
        brightest: (of any pixel, average of any picture) in cd/m2, MaxCLL and MaxFALL; None where not said.
    """

    primaries: tuple[Point, Point, Point] | None = None
    white: Point | None = None
    luminance: tuple[Fraction, Fraction] | None = None
    brightest: tuple[int, int] | None = None

    def x265(self) -> dict[str, str]:
        """As options of libx265's ``x265-params``: units of 0.00002, and of 0.0001 cd/m2."""
        return self._options("master-display", "max-cll", lambda v, unit: str(round(v / unit)))

    def svtav1(self) -> dict[str, str]:
        """As options of libsvtav1's ``svtav1-params``: plain numbers."""
        return self._options("mastering-display", "content-light", lambda v, _: f"{float(v):.5f}")

    def _options(self, display: str, light: str, number: Number) -> dict[str, str]:
        options = {}
        if self.primaries and self.white and self.luminance:
            options[display] = self._display(number)
        if self.brightest:
            options[light] = f"{self.brightest[0]},{self.brightest[1]}"
        return options

    def _display(self, number: Number) -> str:
        assert self.primaries and self.white and self.luminance
        red, green, blue = self.primaries
        points = zip(("G", "B", "R", "WP"), (green, blue, red, self.white), strict=True)
        chroma, light = Fraction(1, 50_000), Fraction(1, 10_000)
        text = "".join(f"{name}({number(x, chroma)},{number(y, chroma)})" for name, (x, y) in points)
        return f"{text}L({number(self.luminance[1], light)},{number(self.luminance[0], light)})"


def read_mastering(side_data: Mapping[str, bytes]) -> Mastering | None:
    """From a decoded picture's side data, FFmpeg's structures by name; None where it has none."""
    result: dict[str, object] = {}
    if len(display := side_data.get("MASTERING_DISPLAY_METADATA", b"")) >= 88:
        *rationals, has_primaries, has_luminance = struct.unpack_from("=22i", display)
        values = [Fraction(n, d) if d else Fraction(0) for n, d in zip(*[iter(rationals)] * 2, strict=True)]
        if has_primaries:
            red, green, blue, white = zip(*[iter(values[:8])] * 2, strict=True)
            result |= {"primaries": (red, green, blue), "white": white}
        if has_luminance:
            result["luminance"] = (values[8], values[9])
    if len(light := side_data.get("CONTENT_LIGHT_LEVEL", b"")) >= 8:
        result["brightest"] = struct.unpack_from("=2I", light)
    return Mastering(**result) if result else None  # type: ignore[arg-type]
