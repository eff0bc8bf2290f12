"""The block device below a file, and its I/O scheduler."""

import contextlib
import os

from runner import Broken


def device_of(path, sys_folder="/sys"):
    """Returns the name of the whole disk below `path`, such as `vda`, or None where there is none (tmpfs) or no single one."""
    number = os.stat(path).st_dev
    place = os.path.realpath(f"{sys_folder}/dev/block/{os.major(number)}:{os.minor(number)}")
    return disk_below(place) if os.path.isdir(place) else None


def disk_below(place):
    """Returns the name of the disk below the folder of a device in /sys: partitions lie on disks, LVM and crypt on others."""
    while True:
        if os.path.exists(os.path.join(place, "partition")):
            place = os.path.dirname(place)
        slaves = os.path.join(place, "slaves")
        below = os.listdir(slaves) if os.path.isdir(slaves) else []
        if not below:
            return os.path.basename(place)
        if len(below) > 1:
            return None
        place = os.path.realpath(os.path.join(slaves, below[0]))


def scheduler_of(device, sys_folder="/sys"):
    """Returns the scheduler in force and all that the kernel offers."""
    with open(_scheduler_file(device, sys_folder), encoding="ascii") as source:
        return parse_schedulers(source.read())


def parse_schedulers(text):
    """Returns what `none [mq-deadline] bfq` says: ("mq-deadline", ["none", "mq-deadline", "bfq"])."""
    words = text.split()
    chosen = next((word for word in words if word.startswith("[")), words[0])
    return chosen.strip("[]"), [word.strip("[]") for word in words]


@contextlib.contextmanager
def switched_scheduler(device, name, sys_folder="/sys"):
    """Gives the device this scheduler for a while (root only); None leaves what is there."""
    if name is None:
        yield
        return
    if device is None:
        raise Broken("there is no single disk whose scheduler could be switched")
    before, _ = scheduler_of(device, sys_folder)
    try:
        _set_scheduler(device, name, sys_folder)
        yield
    finally:
        _set_scheduler(device, before, sys_folder)


def _set_scheduler(device, name, sys_folder):
    try:
        with open(_scheduler_file(device, sys_folder), "w", encoding="ascii") as out:
            out.write(name)
    except OSError as error:  # also from the kernel, about a scheduler that it does not have
        raise Broken(f"{device} does not take the scheduler {name}: {error}") from error
    if scheduler_of(device, sys_folder)[0] != name:  # the kernel takes all words that begin with `none` for it
        raise Broken(f"{device} does not take the scheduler {name}")


def _scheduler_file(device, sys_folder):
    return f"{sys_folder}/block/{device}/queue/scheduler"
