"""The numbered behaviours of every adapter, in one place; the tests of this package prove them.

Each number has exactly one test `test_cNN_...` here, run against every kit (`test_numbering.py`
checks both ways), so a new venue that adds its kit gets the whole suite.
"""

from collections.abc import Mapping
from typing import Final

BEHAVIOURS: Final[Mapping[str, str]] = {
    # Reading
    "c01": "Instruments carry the venue's own steps.",
    "c02": "Tops of book are the venue's quotes, exact.",
    "c03": "Funding quotes tell rate, interval and the next time.",
    "c04": "The clock is the venue's.",
    "c05": "A balance is the venue's own arithmetic.",
    "c06": "Positions are signed; flat ones are left out.",
    "c07": "Funding payments come once, with their sign.",
    "c08": "An order the venue does not know is not found.",
    "c09": "A stranger's key is an authentication failure.",
    "c0a": "Funding settlements are the past, in order.",
    "c0b": "More settlements than a page come once each.",
    "c0c": "Transfers come once, in and out, among trades and funding that do not.",
    "c0d": "More transfers than a page come once each.",
    "c0e": "A long history of money comes in slices that leave nothing out.",
    # Acting
    "c10": "A market order fills; its fills are found once.",
    "c11": "A post-only order rests, is found and is cancelled.",
    "c12": "A post-only order that would cross never trades.",
    "c13": "The rest of an IOC order does not stay.",
    "c14": "A reduce-only order never opens.",
    "c15": "A structured refusal is definitive and changes nothing.",
    "c16": "An id used again means: go and read it.",
    "c17": "A lost reply is unknown, whatever happened.",
    "c18": "An answer without our order in it is unknown; such a read is unavailable.",
    "c19": "A throttled request was not accepted, says how long to wait, and nothing follows it.",
    "c20": "No connection is not sent; a refusing proxy is named.",
    "c21": "Orders carry our own strings and nobody's fee.",
    "c22": "Cancel-all clears one symbol.",
    "c23": "Cancelling what is not there is not found.",
    "c24": "Leverage is set and confirmed.",
    "c25": "Every request passes the limiter, of whatever kind.",
    # Streams
    "c30": "Quotes arrive as the venue has them.",
    "c31": "Marks arrive with the funding rate.",
    "c32": "The private stream tells orders, fills and positions.",
    "c33": "No frame makes a session raise.",
    # Terms and safety
    "c40": "Leverage and margin mode are read back.",
    "c41": "Margin mode is set; that it is so already is a success.",
    "c42": "The margin mode of a contract in use is refused and stays.",
    "c43": "The account is one-way, and may be told so again.",
    "c44": "The dead-man timer cancels one contract's orders when we fall silent.",
    "c45": "The dead-man timer is put off and disarmed.",
    "c46": "A setting that is not confirmed is unknown.",
    # Lies
    "c50": "An answer without a sound id is unknown, and the order sent once.",
    "c51": "No lie in an echo becomes a report.",
    "c52": "Orders with false numbers are unavailable, not guessed.",
    "c53": "What is read with a false time is unavailable.",
    "c54": "Fills and quotes with false numbers are unavailable.",
    "c55": "A body without measure (20 MB, 5,000 deep) is no answer.",
    "c56": "A lying quote is quarantined and poisons none that follows.",
    "c57": "A lying order update is quarantined.",
    "c58": "A lying line of a history is quarantined and hides no other.",
    # Recording
    "c60": "What is recorded of a venue is played again, digit by digit.",
}
