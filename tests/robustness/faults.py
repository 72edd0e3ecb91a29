"""Faults: every command is killed at random moments, gets a full disk, and gets read-only folders.

    python -m tests.robustness.faults                            # a hundred kills, twenty of each command
    python -m tests.robustness.faults --stages train --kills 5
    python -m tests.robustness.faults --kills 0 --repeat 5       # no kills: are repeated results equal, bit for bit?

A command first runs undisturbed: its files are the expected result. Then it runs repeatedly in fresh folders and is
killed with SIGKILL, half of the times at a random moment, half of the times before it opens, renames or removes a
random file. After every kill all files must be complete; then the same command resumes, and its result must equal the
expected one, bit for bit. Where the fault is an error (full disk, no permission), the command must report it in one
line, and resume likewise. The network is tiny; each run is a fork of one process that has loaded Keras.
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
from utils import cli

FACES, PIXELS = 24, 64  # training faces, side of the input
SMALL_DISK = (0, 100, 4_000, 30_000)  # bytes that a file may have
CAPABILITIES = 0x20080522  # version of the kernel's structure, see capset(2)
VOLATILE = (".lock", "tensorboard", "__pycache__")  # files that may differ
SHARED = rb'"shared_object_id": \d+'  # an address in memory, in a .keras file's config.json
MAX_SECONDS = 300  # of a run


@dataclass(frozen=True)
class Stage:
    """One command.

    Args:
        before: names of the stages whose results it starts from.
        run: function from the root folder, and whether it resumes after a fault, to the exit status.
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
    """A fault.

    Args:
        seconds: time after which the process is killed; default: None.
        event: number of the file event before which it is killed; default: None.
        disk: maximum size of a file in bytes; default: None.
        read_only: whether folders are read-only; default: False.
    """

    seconds: float | None = None
    event: int | None = None
    disk: int | None = None
    read_only: bool = False


NO_FAULT = Fault()


def run_stage(name: str, root: Path, again: bool = False, fault: Fault = NO_FAULT) -> tuple[int, str, float, int]:
    """Run a stage in a fork.

    Args:
        name: name of the stage.
        root: folder of its files.
        again: whether it resumes; default: False.
        fault: the fault; default: none.

    Returns:
        exit status (-9 if it was killed), output, seconds, and number of file events.
    """
    output, events = root.parent / f"{root.name}.txt", multiprocessing.RawValue("i", 0)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_child, args=(name, root, again, fault, output, events))
    started = time.monotonic()
    process.start()
    process.join(fault.seconds if fault.seconds is not None else MAX_SECONDS)
    if process.is_alive():
        if fault.seconds is None:
            raise TimeoutError(f"{name} ran for more than {MAX_SECONDS} s")
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
    """Limit files to `size` bytes; files that are larger already keep their content."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _obey_permissions() -> None:
    """Give up root's right to write everywhere."""
    header = struct.pack("Ii", CAPABILITIES, 0)
    if os.getuid() == 0 and ctypes.CDLL(None, use_errno=True).capset(header, bytes(24)):
        raise OSError(ctypes.get_errno(), "cannot give up root's rights")


def set_writable(root: Path, writable: bool) -> None:
    """Make the files below a folder writable or read-only."""
    for folder, _, files in os.walk(root):
        for path in [folder, *(os.path.join(folder, file) for file in files)]:
            mode = os.stat(path).st_mode
            os.chmod(path, mode | 0o200 if writable else mode & ~0o222)


# --------------------------------------------------------------------------------------------------------------------
# Results
# --------------------------------------------------------------------------------------------------------------------


def read_result(root: Path) -> dict[str, str]:
    """Return a digest of the content of every file below a folder, except hidden and VOLATILE ones: name -> digest."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    shown = (path for path in files if not any(part in VOLATILE or part.startswith(".") for part in path.parts[-4:]))
    return {str(path.relative_to(root)): _digest(path) for path in shown if "raw" not in path.relative_to(root).parts}


def _digest(path: Path) -> str:
    """Return a digest of the content of a file, without the bytes that differ from run to run.

    Archives count by their members and arrays, journals by their lines, records of runs without command and time.
    """
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
    """Return names and arrays of an HDF5 file as bytes."""
    import h5py

    found = []
    with h5py.File(io.BytesIO(data), "r") as file:
        file.visititems(
            lambda name, item: found.append(name.encode() + item[()].tobytes()) if hasattr(item, "shape") else None
        )
    return b"".join(sorted(found))


def _is_json(line: bytes) -> bool:
    """Return whether a line of a journal is complete."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def check_complete(root: Path) -> None:
    """Check that every file, temporary ones excepted, is complete.

    Raises:
        Exception: the error of the reader of an incomplete file.
    """
    for path in sorted(root.rglob("*")):
        if path.name.startswith(".") or not path.is_file() or "tensorboard" in path.parts or "raw" in path.parts:
            continue
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix in (".npz", ".keras"):
            with zipfile.ZipFile(path) as archive:
                if archive.testzip():
                    raise ValueError(f"{path} is incomplete")
        elif path.suffix == ".npy":
            np.load(path, allow_pickle=False)
        elif path.suffix in (".jpg", ".png"):
            data = path.read_bytes()
            ends = {".jpg": b"\xff\xd9", ".png": b"IEND\xaeB`\x82"}
            if not data.endswith(ends[path.suffix]) or cv2.imdecode(np.frombuffer(data, np.uint8), 1) is None:
                raise ValueError(f"{path} is incomplete")
        elif path.suffix == ".onnx":
            import onnx

            onnx.checker.check_model(onnx.load(path))


def differences(right: dict[str, str], found: dict[str, str]) -> list[str]:
    """Return the names of the files that differ, are missing, or are superfluous."""
    return sorted(name for name in right.keys() | found.keys() if right.get(name) != found.get(name))


# --------------------------------------------------------------------------------------------------------------------
# Trials
# --------------------------------------------------------------------------------------------------------------------


class Trials:
    """Trials of the stages against their expected results.

    Args:
        folder: folder for all files.
    """

    def __init__(self, folder: Path):
        self.folder, self.root = folder, folder / "right"
        self.right, self.seconds, self.events = {}, {}, {}
        _write_raw(self.root / "raw")

    def start(self, stages: list[str]) -> None:
        """Run stages undisturbed, and keep the files before and the expected result after each."""
        needed = [name for name in STAGES if name in stages or any(name in STAGES[stage].before for stage in stages)]
        for name in needed:
            shutil.copytree(self.root, self.folder / f"before_{name}")
            status, output, self.seconds[name], self.events[name] = run_stage(name, self.root)
            if status:
                raise RuntimeError(f"{name} fails without any fault: {output[-2000:]}")
            check_complete(self.root)
            self.right[name] = read_result(self.root)

    def fresh(self, name: str) -> Path:
        """Return a new copy of the files before a stage."""
        root = self.folder / "trial"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.folder / f"before_{name}", root)
        return root

    def resumed(self, name: str, root: Path) -> list[str]:
        """Resume after a fault and return the problems."""
        status, output, _, _ = run_stage(name, root, again=True)
        if status:
            return [f"exit status {status}: {output.strip().splitlines()[-1]}"]
        return differences(self.right[name], read_result(root))

    def again(self, name: str) -> list[str]:
        """Repeat a stage without a fault and return the problems."""
        return self.resumed(name, self.fresh(name))

    def kill(self, name: str, moment: random.Random, at_file: bool) -> list[str]:
        """Kill a stage, resume it and return the problems.

        Args:
            name: name of the stage.
            moment: random numbers.
            at_file: whether it is killed at a file event instead of a moment.
        """
        root = self.fresh(name)
        if at_file:
            fault = Fault(event=moment.randint(1, self.events[name]))
        else:
            fault = Fault(seconds=moment.uniform(0, self.seconds[name]))
        run_stage(name, root, fault=fault)
        try:
            check_complete(root)
        except Exception as error:
            return [f"{fault}: incomplete: {error}"]
        return [f"{fault}: {problem}" for problem in self.resumed(name, root)]

    def refuse(self, name: str, fault: Fault) -> list[str]:
        """Run a stage with a full disk or read-only folders, resume it and return the problems."""
        root = self.fresh(name)
        set_writable(root, not fault.read_only)
        status, output, _, _ = run_stage(name, root, fault=fault)
        set_writable(root, True)
        lines = output.strip().splitlines()
        problems = [] if status == 1 or (status == 0 and fault.disk) else [f"exit status {status}"]
        if "Traceback" in output or (fault.read_only and not lines):
            problems.append(f"no clear error: {lines[-3:]}")
        try:
            check_complete(root)
        except Exception as error:
            problems.append(f"incomplete: {error}")
        return [f"{fault}: {problem}" for problem in [*problems, *self.resumed(name, root)]]


def _write_raw(raw: Path) -> None:
    """Write a tiny 300W of rendered faces."""
    for number in range(FACES):
        part = ("helen/trainset", "helen/trainset", "helen/testset")[number % 3]
        annotation_files.write_rendered_face(raw / part, f"{number + 1000}_1", number, 96)


def _load() -> None:
    """Load everything before the first fork, and make every method build the tiny network."""
    import data_helper  # noqa: F401
    import export  # noqa: F401
    import test  # noqa: F401
    import train  # noqa: F401
    from inference import onnx_format  # noqa: F401
    from tests.robustness import tiny_network

    tiny_network.install()


def work(options: argparse.Namespace) -> int:
    """Run all trials and print the table; return 1 if there are problems."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _load()
    trials, moment, found = Trials(Path(tempfile.mkdtemp(prefix="faults_"))), random.Random(options.seed), 0
    trials.start(options.stages)
    print("| command | fault | runs | problems |\n| --- | --- | --- | --- |")
    for name in options.stages:
        at_moments, at_files = options.kills - options.kills // 2, options.kills // 2
        faults = {
            "run again, undisturbed": [partial(trials.again, name)] * options.repeat,
            "kill -9 at a random moment": [partial(trials.kill, name, moment, False)] * at_moments,
            "kill -9 at a random file": [partial(trials.kill, name, moment, True)] * at_files,
            "disk full": [partial(trials.refuse, name, Fault(disk=size)) for size in SMALL_DISK],
            "read-only folders": [partial(trials.refuse, name, Fault(read_only=True))],
        }
        for fault, runs in faults.items():
            problems = [problem for run in runs for problem in run()]
            if runs:
                print(f"| {name} | {fault} | {len(runs)} | {len(problems)} |", flush=True)
            for problem in problems:
                print(f"  {problem}", file=sys.stderr, flush=True)
            found += len(problems)
    shutil.rmtree(trials.folder)
    return int(found > 0)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status, 1 if there are problems."""
    parser = argparse.ArgumentParser(description="Kill every command at random moments and check the remaining files.")
    parser.add_argument("--stages", nargs="+", choices=[*STAGES], default=[*STAGES], help="commands; default: all")
    parser.add_argument("--kills", type=int, default=20, help="kills of each command; default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="random seed of the kills; default: %(default)s")
    parser.add_argument(
        "--repeat", type=int, default=0, help="additional undisturbed runs of each command; default: %(default)s"
    )
    options = parser.parse_args(arguments)
    return cli.run(lambda: work(options), "faults")


if __name__ == "__main__":
    sys.exit(main())
