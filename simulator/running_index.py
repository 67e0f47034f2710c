"""A meter's index: energy adds up exactly, and each slot answers what the index in whole Wh went up by."""

from fractions import Fraction


class RunningIndex:
    """The exact total in Wh behind a series of whole slots; half a Wh rounds up."""

    def __init__(self, total_wh: Fraction | str = "0") -> None:
        self.total_wh = Fraction(total_wh)

    def add(self, energy_wh: Fraction | int) -> int:
        """Counts one slot's energy; answers the whole Wh by which the rounded index rose."""
        before = self.whole_wh
        self.total_wh += energy_wh
        return self.whole_wh - before

    @property
    def whole_wh(self) -> int:
        """The index as a meter shows it, in Wh."""
        return int((self.total_wh + Fraction(1, 2)) // 1)
