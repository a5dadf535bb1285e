"""The demo: a paper venue per dialect, accounts behind proxies, somebody who moves positions."""
