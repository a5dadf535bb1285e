"""Numbers are written with every digit they have."""

from decimal import Decimal

import pytest

from controlplane.kernel.units import plain


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0.000500", "0.0005"),
        ("1E+3", "1000"),
        ("1E-8", "0.00000001"),
        ("-0", "0"),
        ("-0.10", "-0.1"),
        ("123456789012345678.123456789012345678", "123456789012345678.123456789012345678"),
    ],
)
def test_a_number_is_written_plainly_and_never_rounded(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text
