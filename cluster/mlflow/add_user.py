"""Add a user to a team's MLflow that serve.sh or compose.yaml started; as admin, on the same machine.

    python cluster/mlflow/add_user.py ada [--home ~/smoothray-mlflow] [--address http://127.0.0.1:5000]

The password is made here and written to NAME.credentials in the current folder, which only its owner can
read: they keep it as ~/.mlflow/credentials, where MLflow and so smoothray look for it. It is printed nowhere.
"""

from __future__ import annotations

import argparse
import configparser
import os
import secrets
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name")
    parser.add_argument("--home", default=os.environ.get("MLFLOW_HOME", "~/smoothray-mlflow"))
    parser.add_argument("--address", default="http://127.0.0.1:5000")
    options = parser.parse_args()
    file = Path(f"{options.name}.credentials")
    try:
        admin = (Path(options.home).expanduser() / "admin-password").read_text().strip()
        kept = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        sys.exit(f"error: cannot use {error.filename}: {error.strerror}")
    password = secrets.token_urlsafe(24)
    settings = configparser.ConfigParser(interpolation=None)
    settings["mlflow"] = {
        "mlflow_tracking_username": options.name,
        "mlflow_tracking_password": password,
    }
    with open(kept, "w") as written:
        settings.write(written)
    try:
        create(options.address, admin, options.name, password)
    except Exception as error:  # MLflow's own kinds, and those of its HTTP client
        file.unlink()
        sys.exit(f"error: MLflow at {options.address} made no user '{options.name}': {error}")
    print(f"wrote {file}: it goes to {options.name}'s ~/.mlflow/credentials, with mode 600")


def create(address: str, admin: str, name: str, password: str) -> None:
    os.environ |= {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": admin}
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    from mlflow.server import get_app_client

    get_app_client("basic-auth", tracking_uri=address).create_user(name, password)


if __name__ == "__main__":
    main()
