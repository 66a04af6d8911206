"""Runs the programs of wasi-testsuite on SOS: an adapter for the suite's own runner.

The runner loads this file as a module, asks it for a name, a version and the versions of WASI, and has it
make the command line of each test. README.md beside this file says how to start it.

Environment:
  SOS_EXEC          the command that runs a program, instead of the `sos` of this repository
  SOS_EXEC_OPTIONS  options for it, such as `--hosted` or `--keep=suite`
"""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The smallest program there is: it makes sure that the kernel is built before any test has a time limit.
NOTHING = '(module (memory (export "memory") 1) (func (export "_start")))'


def get_name():
    return "sos"


def get_version():
    """Builds what runs the tests, and tells its version."""
    command = _command()
    if "SOS_EXEC" not in os.environ:
        build = ["cargo", "build", "--quiet", "--package", "sos"]
        subprocess.run(build, cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "nothing.wat")
        program.write_text(NOTHING, encoding="utf-8")
        subprocess.run(command + [str(program)], check=True, stdin=subprocess.DEVNULL)
    for line in (ROOT / "Cargo.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("version = "):
            return line.split('"')[1]
    raise LookupError("no version in Cargo.toml")


def get_wasi_versions():
    return ["wasm32-wasip1"]


def get_wasi_worlds():
    return ["wasi:cli/command"]


def compute_argv(test_path, args_env_dirs, *_others):
    """The command line of a test. What else the runner says (proposals, worlds) is not for preview 1."""
    arguments, variables, directories = args_env_dirs
    options = []
    for name, value in variables.items():
        options += ["--env", f"{name}={value}"]
    for host, guest in directories:
        options += ["--dir", f"{host}::{guest}"]
    return _command() + options + [str(test_path)] + list(arguments)


def _command():
    given = os.environ.get("SOS_EXEC")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()
    command = shlex.split(given) if given else [str(target / "debug" / "sos"), "exec"]
    return command + shlex.split(os.environ.get("SOS_EXEC_OPTIONS", ""))
