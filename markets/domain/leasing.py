"""Who holds which stream: a fair split among those who hold any. Pure."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """What is on record of a stream: `holder` has it until its time is up, and is_live till then.

    Blank for nobody's.
    """

    key: str
    holder: str
    is_live: bool


@dataclass(frozen=True, slots=True)
class Allotment:
    """What a holder is to do: go on with `keep`, begin with `take`, end `give` and then say so."""

    keep: tuple[str, ...]
    take: tuple[str, ...]
    give: tuple[str, ...]


def allot(claims: Collection[Claim], *, holder: str, holders: int) -> Allotment:
    """Split the streams among `holders`: nobody has more than his share, rounded up.

    Whoever has too many gives some away; free ones are taken only up to the share, so that
    streams never wander to and fro. A holder whose time was up, but whose stream nobody took
    meanwhile, simply goes on.
    """
    share = -(-len(claims) // holders)
    mine = sorted(claim.key for claim in claims if claim.holder == holder)
    free = sorted(
        claim.key
        for claim in claims
        if claim.holder != holder and not (claim.holder and claim.is_live)
    )
    return Allotment(
        keep=tuple(mine[:share]),
        take=tuple(free[: max(0, share - len(mine))]),
        give=tuple(mine[share:]),
    )
