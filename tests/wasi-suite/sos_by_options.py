"""As sos.py, for revisions of the suite's runner that start the adapter as a program with options."""

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import sos  # noqa: E402  (the folder of this file is not where Python looks otherwise)


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--test-file")
    for name in ("--arg", "--env", "--dir"):
        parser.add_argument(name, action="append", default=[])
    given = parser.parse_args()
    if given.version:
        print(sos.get_name(), sos.get_version())
        return 0
    variables = dict(text.split("=", 1) for text in given.env)
    # A directory without a name of its own has the host's.
    directories = [(text.split("::") * 2)[:2] for text in given.dir]
    argv = sos.compute_argv(given.test_file, (given.arg, variables, directories))
    return subprocess.run(argv, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
