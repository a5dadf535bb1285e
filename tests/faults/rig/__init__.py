"""The fault rig: the real product over real sockets, killed and lied to, and judged afterwards."""
