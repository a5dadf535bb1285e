"""Sandbox and live never mix: which environment a module may place orders in."""

from controlplane.kernel.errors import Denied


def environment_problem(
    *, sandbox: bool, dry_run: bool, requires_sandbox: bool, sandbox_mode: bool
) -> Denied | None:
    """Return why a live order is not allowed, or None. A sandbox order always is."""
    if sandbox or not (dry_run or requires_sandbox or sandbox_mode):
        return None
    return Denied(
        "LIVE_NOT_ALLOWED",
        f"LIVE_NOT_ALLOWED: dryRunEnabled={dry_run}, requiresSandbox={requires_sandbox}, "
        f"sandboxMode={sandbox_mode}",
        dryRunEnabled=dry_run,
        requiresSandbox=requires_sandbox,
        sandboxMode=sandbox_mode,
    )
