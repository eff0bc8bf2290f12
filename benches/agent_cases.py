"""The cases of the agent bench. Each appends what it finds to a list, so that what was measured before a failure stays.

A round is {way: report} or {way: {phase: report}}: fresh repositories, one way after the other over the same images.
"""

import os
import shutil

from agent_memory import backup_and_wait
from agent_ways import TOGETHER, WAYS, Subject, pair
from bench import say
from clones import Clones
from images import change_image, make_image
from mutate import mutate
from rounds import change_bytes
from units import GIB, MIB, show_size

FULL = ("--type", "full")
COMPARE = ("--type", "incremental", "--changes", "hash")
CORE_SETS, CORE_VOLUMES = ("0", "0-1"), 4
POINT_BYTES, FULL_EVERY, CHANGE_EVERY = 64 * MIB, 24, 2
STORED_SHARE = 0.6  # of an image of the default mix: what LZ4 makes of it, and a little more
ROOM_BYTES = 2 * GIB
SEED = 7


def images(context, count):
    """Returns `count` images of the size asked for; they stay for the cases that follow."""
    folder = os.path.join(context.work, "images")
    os.makedirs(folder, exist_ok=True)
    paths = [os.path.join(folder, f"v{number}.img") for number in range(count)]
    for seed, path in enumerate(paths):
        if not os.path.exists(path):
            say(f"making {os.path.basename(path)}, {show_size(context.options.size)}")
            make_image(path, context.options.size, seed)
    return paths


def volumes(context, found):
    """Several volumes at once; after the most of them the agent is watched for a while."""
    options = context.options
    for count in options.volumes:
        paths, rounds = images(context, count), []
        found.append({"volumes": count, "bytes": count * options.size, "rounds": rounds})
        wait_s = options.wait if count == max(options.volumes) else 1
        for number in range(1, options.rounds + 1):

            def one(way):
                say(f"{count} at once, round {number} of {options.rounds}: {way}")
                with Subject(context, f"volumes-{count}-{number}", way, paths) as subject:
                    return {"full": backup_and_wait(subject, wait_s, *FULL) if subject.node else subject.backup(*FULL)}

            rounds.append(pair(number, one, (*WAYS, TOGETHER) if count > 1 else WAYS))


def sizes(context, found):
    """One volume of several sizes, made of clones: a full, and an incremental that compares after 1 % changed."""
    options = context.options
    base, largest = min(GIB, *options.sizes), max(options.sizes)
    with Clones(os.path.join(context.work, "clones"), base, 2 * change_bytes(largest)) as clones:
        for size in options.sizes:
            if why := lacks_room(shutil.disk_usage(context.work).free, size):
                say(why)
                context.left_out.append(why)
                continue
            rounds = []
            found.append({"bytes": size, "rounds": rounds})
            for number in range(1, options.rounds + 1):

                def one(way):
                    say(f"{show_size(size)}, round {number} of {options.rounds}: {way}")
                    path = clones.volume("volume.img", size)
                    with Subject(context, f"size-{size}-{number}", way, [path]) as subject:
                        full = subject.backup(*FULL)
                        change_image(path, SEED)
                        return {"full": full, "incremental": subject.backup(*COMPARE)}

                rounds.append(pair(number, one))


def lacks_room(free, size):
    """Returns why a volume of `size` bytes cannot be measured with `free` bytes on the disk, or None."""
    needed = int(size * STORED_SHARE) + 4 * change_bytes(size) + ROOM_BYTES
    if free >= needed:
        return None
    return f"{show_size(size)}: needs {show_size(needed)} of disk, {show_size(free)} are free"


def points(context, found):
    """Many points of one small volume; 1 % changes before every second."""
    count = context.options.points
    folder = os.path.join(context.work, "small")
    os.makedirs(folder)
    path = os.path.join(folder, "small.img")
    make_image(path, POINT_BYTES, SEED)
    with Subject(context, "points", "agent", [path]) as subject:
        for number in range(1, count + 1):
            if number % CHANGE_EVERY == 0:
                mutate(path, "random-64k", change_bytes(POINT_BYTES), SEED + number)
            report = subject.backup("--full-every", FULL_EVERY)
            found.append({"number": number, "changed": number % CHANGE_EVERY == 0, **report})
            if number % 100 == 0:
                say(f"point {number} of {count}")


def cores(context, found):
    """Four volumes at once, with agent and callers on one CPU, then on two."""
    if missing := {0, 1} - os.sched_getaffinity(0):
        context.left_out.append(f"cores: CPU {', '.join(map(str, missing))} cannot be had")
        return
    paths = images(context, CORE_VOLUMES)
    for number in range(1, context.options.rounds + 1):
        results = {}
        for cpus in CORE_SETS if number % 2 else CORE_SETS[::-1]:
            say(f"CPU {cpus}, round {number} of {context.options.rounds}")
            with Subject(context, f"cores-{cpus}-{number}", "agent", paths, cpus) as subject:
                results[cpus] = {"full": subject.backup(*FULL)}
        found.append(results)


CASES = {"volumes": volumes, "size": sizes, "points": points, "cores": cores}
