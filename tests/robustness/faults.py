"""Faults: every command is killed at random moments, given a full disk, and given folders it may not write to.

    python -m tests.robustness.faults                            # a hundred kills, twenty of each command
    python -m tests.robustness.faults --stages train --kills 5
    python -m tests.robustness.faults --kills 0 --repeat 5       # no kills: is the same result the same, bit for bit?

A stage runs undisturbed first: its files are the right result. Then it runs again and again in fresh folders, and is
killed with SIGKILL, half of the times at a random moment, half of the times before a random one of its openings,
renamings and removals of files. After every kill the files that are there must be whole; then the same command goes
on, and its result must be the right one, bit for bit. Where a fault is an error (full disk, no permission), the command
must say so in one line, and go on alike. The network is tiny; each run is a fork of one process that has loaded Keras.
"""

import argparse
import ctypes
import hashlib
import io
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from tests.helpers import annotation_files

FACES, PIXELS = 24, 64  # training faces, side of the input
SMALL_DISK = (0, 100, 4_000, 30_000)  # bytes that a file may have
CAPABILITIES = 0x20080522  # version of the kernel's structure, see capset(2)
VOLATILE = (".lock", "tensorboard", "__pycache__")  # files that may differ
SHARED = rb'"shared_object_id": \d+'  # an address in memory, in a .keras file's config.json
LONGEST = 300  # seconds of a run


@dataclass(frozen=True)
class Stage:
    """One command.

    before: stages whose result it starts from. run(root, again) -> exit status; `again` where it goes on after a fault.
    """

    before: tuple[str, ...]
    run: Callable[[Path, bool], int]


def _prepare(root: Path, again: bool) -> int:
    import data_helper

    return data_helper.main(["--dataset", "300W", "--raw", str(root / "raw"), "--out", str(root / "data")])


def _eigenbases(root: Path, again: bool) -> int:
    import pca_utility

    return pca_utility.main(["--dataset", "300W", "--data-dir", str(root / "data")])


def _train(root: Path, again: bool) -> int:
    import train

    words = ["--dataset", "300W", "--data-dir", root / "data", "--save-path", root / "run", "--input-size", PIXELS]
    words += ["--batch-size", 8, "--epochs", 3] + (["--resume"] if again and (root / "run/state.npz").exists() else [])
    return train.main([str(word) for word in words])


def _evaluate(root: Path, again: bool) -> int:
    import test

    words = [
        "--dataset",
        "300W",
        "--data-dir",
        root / "data",
        "--weights",
        root / "run/best.keras",
        "--out",
        root / "out",
    ]
    return test.main([str(word) for word in words])


def _export(root: Path, again: bool) -> int:
    import export

    words = [
        "--weights",
        root / "run/best.keras",
        "--format",
        "onnx",
        "--out",
        root / "net.onnx",
        "--data-dir",
        root / "data",
    ]
    return export.main([str(word) for word in words])


STAGES = {
    "prepare": Stage((), _prepare),
    "eigenbases": Stage(("prepare",), _eigenbases),
    "train": Stage(("prepare", "eigenbases"), _train),
    "evaluate": Stage(("prepare", "eigenbases", "train"), _evaluate),
    "export": Stage(("prepare", "eigenbases", "train"), _export),
}


# --------------------------------------------------------------------------------------------------------------------
# One run in a process of its own
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """What goes wrong: killed after `seconds`, or before the `event`-th file event; `disk` bytes a file; read-only."""

    seconds: float | None = None
    event: int | None = None
    disk: int | None = None
    read_only: bool = False


NO_FAULT = Fault()


def run_stage(name: str, root: Path, again: bool = False, fault: Fault = NO_FAULT) -> tuple[int, str, float, int]:
    """Runs a stage in a fork: exit status (-9 where it was killed), its output, seconds, file events."""
    output, events = root.parent / f"{root.name}.txt", multiprocessing.RawValue("i", 0)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_child, args=(name, root, again, fault, output, events))
    started = time.monotonic()
    process.start()
    process.join(fault.seconds if fault.seconds is not None else LONGEST)
    if process.is_alive():
        if fault.seconds is None:
            raise TimeoutError(f"{name} ran for more than {LONGEST} s")
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode, output.read_text(errors="replace"), time.monotonic() - started, events.value


def _child(name: str, root: Path, again: bool, fault: Fault, output: Path, events) -> None:
    with open(output, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if fault.disk is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        _fill_disk(fault.disk)
    if fault.read_only:
        _obey_permissions()

    def watch(event: str, arguments: tuple) -> None:
        if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(root) in str(arguments[0]):
            events.value += 1
            if events.value == fault.event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    status = STAGES[name].run(root, again)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _fill_disk(size: int) -> None:
    """No file may grow beyond `size` bytes; what had been printed before goes on."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _obey_permissions() -> None:
    """Takes the right to write everywhere from this process, where root runs it."""
    header = struct.pack("Ii", CAPABILITIES, 0)
    if os.getuid() == 0 and ctypes.CDLL(None, use_errno=True).capset(header, bytes(24)):
        raise OSError(ctypes.get_errno(), "cannot give up root's rights")


def set_writable(root: Path, writable: bool) -> None:
    """Lets files below a folder be written, or not."""
    for folder, _, files in os.walk(root):
        for path in [folder, *(os.path.join(folder, file) for file in files)]:
            mode = os.stat(path).st_mode
            os.chmod(path, mode | 0o200 if writable else mode & ~0o222)


# --------------------------------------------------------------------------------------------------------------------
# Results
# --------------------------------------------------------------------------------------------------------------------


def result_of(root: Path) -> dict[str, str]:
    """A digest of the content of every file that a command left, hidden ones and those that may differ left out."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    shown = (path for path in files if not any(part in VOLATILE or part.startswith(".") for part in path.parts[-4:]))
    return {str(path.relative_to(root)): _digest(path) for path in shown if "raw" not in path.relative_to(root).parts}


def _digest(path: Path) -> str:
    """Of what a file says: archives by their members and arrays, journals by their lines, a run's record without the
    time that it took, since the rest may differ."""
    if path.suffix in (".npz", ".keras"):
        with zipfile.ZipFile(path) as archive:
            names = sorted(set(archive.namelist()) - {"metadata.json"})  # which holds the date
            members = {name: re.sub(SHARED, b"", archive.read(name)) for name in names}
        content = b"".join(
            name.encode() + (_arrays(data) if name.endswith(".h5") else data) for name, data in members.items()
        )
    elif path.name == "journal.jsonl":
        content = b"\n".join(sorted(filter(_is_json, path.read_bytes().splitlines())))
    elif path.name == "settings.json":
        record = json.loads(path.read_bytes())
        record.pop("training", None)  # command, machine and seconds
        content = json.dumps(record).encode()
    else:
        content = path.read_bytes()
    return hashlib.sha256(content).hexdigest()


def _arrays(data: bytes) -> bytes:
    """The names and arrays of an HDF5 file."""
    import h5py

    found = []
    with h5py.File(io.BytesIO(data), "r") as file:
        file.visititems(
            lambda name, item: found.append(name.encode() + item[()].tobytes()) if hasattr(item, "shape") else None
        )
    return b"".join(sorted(found))


def _is_json(line: bytes) -> bool:
    """Whether a line of a journal counts: not one that was cut short."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def check_whole(root: Path) -> None:
    """Every file that is there under its own name can be read as whole.

    Raises:
        Exception: what its reader says of the file that is not.
    """
    for path in sorted(root.rglob("*")):
        if path.name.startswith(".") or not path.is_file() or "tensorboard" in path.parts or "raw" in path.parts:
            continue
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix in (".npz", ".keras"):
            with zipfile.ZipFile(path) as archive:
                if archive.testzip():
                    raise ValueError(f"{path} is not whole")
        elif path.suffix == ".npy":
            np.load(path, allow_pickle=False)
        elif path.suffix in (".jpg", ".png"):
            data = path.read_bytes()
            ends = {".jpg": b"\xff\xd9", ".png": b"IEND\xaeB`\x82"}
            if not data.endswith(ends[path.suffix]) or cv2.imdecode(np.frombuffer(data, np.uint8), 1) is None:
                raise ValueError(f"{path} is not whole")
        elif path.suffix == ".onnx":
            import onnx

            onnx.checker.check_model(onnx.load(path))


def differences(right: dict[str, str], found: dict[str, str]) -> list[str]:
    """Names of the files that differ, or that are there or missing against the right result."""
    return sorted(name for name in right.keys() | found.keys() if right.get(name) != found.get(name))


# --------------------------------------------------------------------------------------------------------------------
# Trials
# --------------------------------------------------------------------------------------------------------------------


class Bench:
    """The right result of every stage, and trials against it."""

    def __init__(self, folder: Path):
        self.folder, self.root = folder, folder / "right"
        self.right, self.seconds, self.events = {}, {}, {}
        _write_raw(self.root / "raw")

    def start(self, stages: list[str]) -> None:
        """Runs stages undisturbed, and keeps what each starts from and what is right after it."""
        needed = [name for name in STAGES if name in stages or any(name in STAGES[stage].before for stage in stages)]
        for name in needed:
            shutil.copytree(self.root, self.folder / f"before_{name}")
            status, output, self.seconds[name], self.events[name] = run_stage(name, self.root)
            if status:
                raise RuntimeError(f"{name} fails without any fault: {output[-2000:]}")
            check_whole(self.root)
            self.right[name] = result_of(self.root)

    def fresh(self, name: str) -> Path:
        """The folder as it is before a stage."""
        root = self.folder / "trial"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.folder / f"before_{name}", root)
        return root

    def resumed(self, name: str, root: Path) -> list[str]:
        """Goes on after a fault; the files that differ from the right result."""
        status, output, _, _ = run_stage(name, root, again=True)
        if status:
            return [f"exit status {status}: {output.strip().splitlines()[-1]}"]
        return differences(self.right[name], result_of(root))

    def again(self, name: str) -> list[str]:
        """Once more without a fault; the files that differ."""
        return self.resumed(name, self.fresh(name))

    def kill(self, name: str, moment: random.Random, at_file: bool) -> list[str]:
        """One kill and one resumption; the problems that were found."""
        root = self.fresh(name)
        if at_file:
            fault = Fault(event=moment.randint(1, self.events[name]))
        else:
            fault = Fault(seconds=moment.uniform(0, self.seconds[name]))
        run_stage(name, root, fault=fault)
        try:
            check_whole(root)
        except Exception as error:
            return [f"{fault}: not whole: {error}"]
        return [f"{fault}: {problem}" for problem in self.resumed(name, root)]

    def refuse(self, name: str, fault: Fault) -> list[str]:
        """One run with a full disk, or in folders that may not be written; the problems that were found."""
        root = self.fresh(name)
        set_writable(root, not fault.read_only)
        status, output, _, _ = run_stage(name, root, fault=fault)
        set_writable(root, True)
        lines = output.strip().splitlines()
        problems = [] if status == 1 or (status == 0 and fault.disk) else [f"exit status {status}"]
        if "Traceback" in output or (fault.read_only and not lines):
            problems.append(f"no clear error: {lines[-3:]}")
        try:
            check_whole(root)
        except Exception as error:
            problems.append(f"not whole: {error}")
        return [f"{fault}: {problem}" for problem in [*problems, *self.resumed(name, root)]]


def _write_raw(raw: Path) -> None:
    """Write a tiny 300W of rendered faces."""
    for number in range(FACES):
        part = ("helen/trainset", "helen/trainset", "helen/testset")[number % 3]
        annotation_files.write_rendered_face(raw / part, f"{number + 1000}_1", number, 96)


def _load() -> None:
    """Loads everything before the first fork, and makes every method build the tiny network."""
    import data_helper  # noqa: F401
    import export  # noqa: F401
    import test  # noqa: F401
    import train  # noqa: F401
    from inference import onnx_format  # noqa: F401
    from tests.robustness import tiny_network

    tiny_network.install()


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status, 1 where a problem was found."""
    parser = argparse.ArgumentParser(description="Kill every command at random moments, and look at what is left.")
    parser.add_argument("--stages", nargs="+", choices=[*STAGES], default=[*STAGES], help="which commands")
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--repeat", type=int, default=0, help="undisturbed runs of each command besides")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _load()
    bench, moment, found = Bench(Path(tempfile.mkdtemp(prefix="faults_"))), random.Random(options.seed), 0
    bench.start(options.stages)
    print("| command | fault | runs | problems |\n| --- | --- | --- | --- |")
    for name in options.stages:
        at_moments, at_files = options.kills - options.kills // 2, options.kills // 2
        trials = {
            "run again, undisturbed": [partial(bench.again, name)] * options.repeat,
            "kill -9 at a random moment": [partial(bench.kill, name, moment, False)] * at_moments,
            "kill -9 at a random file": [partial(bench.kill, name, moment, True)] * at_files,
            "disk full": [partial(bench.refuse, name, Fault(disk=size)) for size in SMALL_DISK],
            "read-only folders": [partial(bench.refuse, name, Fault(read_only=True))],
        }
        for fault, runs in trials.items():
            problems = [problem for run in runs for problem in run()]
            if runs:
                print(f"| {name} | {fault} | {len(runs)} | {len(problems)} |", flush=True)
            for problem in problems:
                print(f"  {problem}", file=sys.stderr, flush=True)
            found += len(problems)
    shutil.rmtree(bench.folder)
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
