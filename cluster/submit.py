"""What `ray submit` runs on the head: smoothray's command line, in the project's folder there.

Ray copies this script alone, so it needs nothing but Python until it has found the project:

    ray submit cluster/local.yaml cluster/submit.py run search_spaces/penalty_search.yaml

$SMOOTHRAY_HOME is the project's folder (~/smoothray, where cluster files mount it). $SMOOTHRAY_RECORDS is
where the journal and MLflow's database are kept unless $SMOOTHRAY_JOURNAL and $MLFLOW_TRACKING_URI say
otherwise (~/smoothray-records).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

USAGE = 2


def main() -> None:
    home = folder("SMOOTHRAY_HOME", "~/smoothray")
    if not (home / "smoothray" / "cli" / "__init__.py").is_file():
        fail(f"there is no smoothray project in {home}; mount it there, or set SMOOTHRAY_HOME")
    os.chdir(home)
    # The script's own folder is the home folder, where ~/smoothray would pass for a package.
    sys.path[:1] = [str(home), str(home / "analysis")]
    os.environ.setdefault("RAY_ADDRESS", "auto")
    try:
        keep_records(home, folder("SMOOTHRAY_RECORDS", "~/smoothray-records"))
    except OSError as error:
        fail(f"cannot write {error.filename}: {error.strerror}; set SMOOTHRAY_RECORDS to a folder")
    try:
        from smoothray.cli import main as smoothray
    except ModuleNotFoundError as error:
        fail(
            f"smoothray is not installed for {sys.executable} ({error}); "
            f"run: {sys.executable} -m pip install --constraint constraints.txt --editable {home}"
        )
    sys.argv[0] = "cluster/submit.py"  # as which it says what to type next
    smoothray()


def folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or default).expanduser().absolute()


def keep_records(home: Path, records: Path) -> None:
    """Point the journal and MLflow to a folder beside the project, which may be replaced at any time."""
    if not os.environ.get("SMOOTHRAY_JOURNAL"):
        os.environ["SMOOTHRAY_JOURNAL"] = str(records / "journal")
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        artifacts, link = records / "mlruns", home / "mlruns"
        artifacts.mkdir(parents=True, exist_ok=True)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{records / 'mlflow.db'}"
        # By this name older experiments know their tables.
        if not os.path.lexists(link):
            link.symlink_to(artifacts)


def fail(reason: str) -> None:
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(USAGE)


if __name__ == "__main__":
    main()
