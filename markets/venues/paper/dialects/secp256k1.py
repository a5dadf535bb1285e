"""Public keys out of signatures on secp256k1, in plain integers (SEC 1, version 2, 4.1.6).

The paper venue knows addresses, not keys, and OpenSSL recovers none. Nothing here is secret and
nothing is decided here: OpenSSL checks the signature with the key found.
"""

from typing import Final

Point = tuple[int, int, int]
"""Jacobian: (X / Z**2, Y / Z**3); Z is 0 at infinity."""

FIELD: Final = 2**256 - 2**32 - 977
ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
BASE: Final = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
    1,
)


def recovered(digest: int, r: int, s: int, parity: int) -> tuple[int, int]:
    """Return the public key under which (r, s) signs `digest`; raises ValueError for none.

    `parity` is that of the nonce point's y. An r above the curve's order, which happens once in
    2**127 signatures, is not looked for.
    """
    if not (0 < r < ORDER and 0 < s < ORDER):
        raise ValueError("r and s must lie between 0 and the order")
    square = (pow(r, 3, FIELD) + 7) % FIELD
    y = pow(square, (FIELD + 1) // 4, FIELD)
    if y * y % FIELD != square:
        raise ValueError("r is no point's x")
    if y % 2 != parity:
        y = FIELD - y
    inverse = pow(r, -1, ORDER)
    x, y, z = _sum(
        _product((r, y, 1), s * inverse % ORDER), _product(BASE, -digest * inverse % ORDER)
    )
    if z == 0:
        raise ValueError("the signature belongs to no key")
    scale = pow(z, -1, FIELD)
    return x * scale**2 % FIELD, y * scale**3 % FIELD


def _sum(one: Point, other: Point) -> Point:
    (x1, y1, z1), (x2, y2, z2) = one, other
    if z1 == 0 or z2 == 0:
        return other if z1 == 0 else one
    u1, u2 = x1 * z2 * z2 % FIELD, x2 * z1 * z1 % FIELD
    s1, s2 = y1 * z2**3 % FIELD, y2 * z1**3 % FIELD
    if u1 == u2:
        return _double(one) if s1 == s2 else (0, 1, 0)
    h, slope = u2 - u1, s2 - s1
    h2 = h * h % FIELD
    h3, base = h2 * h % FIELD, u1 * h2 % FIELD
    x = (slope * slope - h3 - 2 * base) % FIELD
    return x, (slope * (base - x) - s1 * h3) % FIELD, h * z1 * z2 % FIELD


def _double(point: Point) -> Point:
    x1, y1, z1 = point
    y2 = y1 * y1 % FIELD
    base = 4 * x1 * y2 % FIELD
    slope = 3 * x1 * x1 % FIELD
    x = (slope * slope - 2 * base) % FIELD
    return x, (slope * (base - x) - 8 * y2 * y2) % FIELD, 2 * y1 * z1 % FIELD


def _product(point: Point, factor: int) -> Point:
    result: Point = (0, 1, 0)
    while factor:
        if factor & 1:
            result = _sum(result, point)
        point = _double(point)
        factor >>= 1
    return result
