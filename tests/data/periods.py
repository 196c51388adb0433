#!/usr/bin/env python3
"""Writes tests/data/periods.csv: periods of many zones, as Python's zoneinfo has them.

    pip install tzdata==<release of the library's zone data> && PYTHONTZPATH= python3 tests/data/periods.py

Nothing here is taken from the library: periods are found by looking at single seconds. tests/engine/periods.rs compares.
Each line: zone, grain, an event time, the name of its period, and the first second behind the period, of all
whose name is not later.
"""
import datetime as dt
import os
import random
from zoneinfo import ZoneInfo

ZONES = """UTC America/New_York Europe/Vienna Asia/Kolkata Asia/Kathmandu Australia/Lord_Howe America/St_Johns
America/Sao_Paulo Pacific/Apia Pacific/Kwajalein Asia/Pyongyang America/Caracas Africa/Monrovia Africa/Casablanca
Europe/Dublin Europe/London Asia/Tehran Pacific/Chatham Antarctica/Troll America/Havana Asia/Gaza Pacific/Kiritimati
Europe/Amsterdam Australia/Eucla""".split()
UTC = dt.timezone.utc
EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)


def local(zone, second):
    return (EPOCH + dt.timedelta(seconds=second)).astimezone(zone)


def offset(zone, second):
    return int(local(zone, second).utcoffset().total_seconds())


def changes(zone, first, last):
    """The seconds at which the offset changes."""
    found, step = [], 6 * 3600
    for begin in range(first, last, step):
        low, high = begin, begin + step
        if offset(zone, low) == offset(zone, high):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(zone, middle) == offset(zone, low) else (low, middle)
        found.append(high)
    return found


def hour(zone, second):
    """An hour has one local hour and one offset."""
    def of(at):
        moment = local(zone, at)
        return (moment.date(), moment.hour, moment.utcoffset())
    first, behind = second, second + 1
    while of(first - 1) == of(second):
        first -= 1
    while of(behind) == of(second):
        behind += 1
    begin = EPOCH + dt.timedelta(seconds=first)
    return begin.strftime("%Y-%m-%dT%H:%M:00Z"), behind


def first_date(grain, date):
    if grain == "week":
        year, week, _ = date.isocalendar()
        return dt.date.fromisocalendar(year, week, 1)
    if grain == "month":
        return date.replace(day=1)
    if grain == "quarter":
        return date.replace(month=(date.month - 1) // 3 * 3 + 1, day=1)
    return date.replace(month=1, day=1) if grain == "year" else date


def dates(zone, grain, second):
    name = first_date(grain, local(zone, second).date())
    is_behind = lambda at: first_date(grain, local(zone, at).date()) > name
    # Far behind by hours, then back to the last second that is not behind: clocks may go back over a midnight.
    day = 86_400
    far = second
    while not is_behind(far):
        far += day
    far += 2 * day
    while is_behind(far):
        far -= 60
    while not is_behind(far):
        far += 1
    return name.isoformat(), far


def main():
    rng = random.Random(20)
    lines = []
    for name in ZONES:
        zone = ZoneInfo(name)
        at = int((dt.datetime(1900, 1, 2, tzinfo=UTC) - EPOCH).total_seconds())
        until = int((dt.datetime(2037, 12, 1, tzinfo=UTC) - EPOCH).total_seconds())
        around = changes(zone, at, until)
        around = rng.sample(around, min(len(around), 10)) + [
            change for change in around if 1_100_000_000 < change < 1_160_000_000 or name.startswith("Pacific")][:6]
        times = [rng.randrange(at, until) for _ in range(6)]
        for change in around:
            times += [change - 1, change, change + rng.randrange(-7_200, 7_200), change + rng.randrange(-90_000, 90_000)]
        for second in times:
            grains = ["hour", "day"] + rng.sample(["week", "month", "quarter", "year"], 1)
            for grain in grains:
                period, behind = hour(zone, second) if grain == "hour" else dates(zone, grain, second)
                lines.append(f"{name},{grain},{second},{period},{behind}\n")
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "periods.csv")
    with open(path, "w", encoding="ascii") as file:
        file.writelines(lines)


main()
