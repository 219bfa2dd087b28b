#!/usr/bin/env python3
"""Records serial consoles of virtual machines: `record.py --help`, and README.md beside it."""

import argparse
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import scenarios
from machine import Machine, Surprise

HERE = Path(__file__).resolve().parent
RECORDINGS = HERE.parent / "fixtures" / "recordings"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ecs-console-archiver" / "recordings"


def image(name):
    """The folder of a machine's disk, built when it is first asked for."""
    folder = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "disk").exists():
            print(f"building the image {name}", file=sys.stderr)
            subprocess.run([HERE / "image.sh", name, CACHE], check=True)
    return folder


def label(scenario, machine, image_folder):
    """The label beside a recording; the README of the recordings explains its fields."""
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True)
    packages = (image_folder / "packages").read_text().splitlines()
    return {
        "what": " ".join(scenario.__doc__.split()),
        "image": image_folder.name,
        "packages": [line for line in packages if not line.endswith(" ")],
        "machine": qemu.stdout.splitlines()[0],
        "started_us": int(machine.started_at * 1_000_000),
        "total_us": machine.total_us,
        "bytes": len(machine.console),
        "boots": machine.boots,
        "events": machine.events,
    }


def record(name):
    scenario = scenarios.ALL[name]
    folder = image(scenario.image)
    try:
        machine = scenario(folder)
    except BaseException:
        if Machine.last:
            (CACHE / f"{name}.log").write_bytes(Machine.last.console)
            Machine.last.close()
        raise
    RECORDINGS.mkdir(parents=True, exist_ok=True)
    machine.write_chunks(RECORDINGS / f"{name}.jsonl.gz")
    text = json.dumps(label(scenario, machine, folder), indent=2, ensure_ascii=False)
    (RECORDINGS / f"{name}.json").write_text(text + "\n")
    (CACHE / f"{name}.log").write_bytes(machine.console)
    print(f"{name}: {len(machine.boots)} boots, {len(machine.console)} bytes, {machine.total_us / 1e6:.1f} s")


def main():
    parser = argparse.ArgumentParser(description="Records serial consoles of virtual machines.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to record; nothing lists the names")
    parser.add_argument("--all", action="store_true", help="records everything")
    parser.add_argument("--missing", action="store_true", help="records what has no recording yet")
    arguments = parser.parse_args()
    missing = [name for name in scenarios.ALL if not (RECORDINGS / f"{name}.json").exists()]
    if not arguments.names and not arguments.all and not arguments.missing:
        for name, scenario in scenarios.ALL.items():
            mark = "(missing) " if name in missing else ""
            print(f"{name:26} {mark}{' '.join(scenario.__doc__.split())}")
        return
    failed = False
    names = missing if arguments.missing else arguments.names
    for name in scenarios.ALL if arguments.all else names:
        if name not in scenarios.ALL:
            sys.exit(f"{name} is not a recording; `record.py` without a name lists them")
        try:
            record(name)
        except Surprise as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr)
    sys.exit(failed)


if __name__ == "__main__":
    main()
