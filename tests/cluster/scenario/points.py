#!/usr/bin/env python3
"""points.py COMMAND: what `kubectl get backups -o json` on standard input says.

table                        the points in their order, as lines for people
types                        their types in order, one letter each (F, I), by sequence
volumes A,B                  whether every complete point has just these
count PHASE                  how many are in that phase
time intent                  the time of the point that the intent means (days in UTC)
oldest                       the time of the oldest point
"""
import json
import sys


def points(items):
    found = [item for item in items if item.get("status", {}).get("phase") == "Completed"]
    return sorted(found, key=lambda item: item["status"]["sequence"])


def pick(found, intent):
    times = [item["status"]["pointInTime"] for item in found]
    days = sorted({time[:10] for time in times})
    if intent == "latest":
        return times[-1]
    day = days[0] if intent == "oldest-day" else days[-1 - int(intent.removeprefix("day=-"))]
    return [time for time in times if time.startswith(day)][-1]


def main(command, *arguments):
    items = json.load(sys.stdin)["items"]
    found = points(items)
    if command == "table":
        for item in found:
            status = item["status"]
            print(f'{status["sequence"]:>4} {status["pointInTime"]} {status["type"]:<11} {status["storedBytes"]:>9} {status["origin"]:<10} {item["metadata"]["name"]}')
    elif command == "types":
        print("".join(item["status"]["type"][0].upper() for item in found))
    elif command == "count":
        print(sum(item.get("status", {}).get("phase") == arguments[0] for item in items))
    elif command == "time":
        print(pick(found, arguments[0]))
    elif command == "volumes":
        wanted = set(arguments[0].split(","))
        lacking = [item["metadata"]["name"] for item in found if {volume["name"] for volume in item["status"]["volumes"]} != wanted]
        if lacking:
            sys.exit(f"not the volumes {arguments[0]}: {', '.join(lacking)}")
    elif command == "oldest":
        print(found[0]["status"]["pointInTime"])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
