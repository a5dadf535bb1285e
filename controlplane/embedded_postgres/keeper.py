"""Wait until nobody uses the server, then stop it. Run as a script, with no imports of ours.

Arguments: file descriptor of the keeper's own lock, path of the users' lock, pg_ctl, data
directory, and the user and group the server runs as.
"""

import fcntl
import os
import sys


def main() -> None:
    own_lock, holders, pg_ctl, data_dir, user, group = sys.argv[1:]
    users = os.open(holders, os.O_RDWR)
    os.set_inheritable(users, True)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))
    fcntl.flock(users, fcntl.LOCK_EX)
    # From here on a new user waits for the users' lock, which pg_ctl keeps until the server has
    # stopped; it must not take us for its keeper afterwards.
    os.close(int(own_lock))
    os.execv(pg_ctl, [pg_ctl, "stop", "-w", "-m", "fast", "-D", data_dir])  # noqa: S606


if __name__ == "__main__":
    main()
