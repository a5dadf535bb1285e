"""The demo: two paper venues, five accounts in two books, and somebody who moves positions."""
