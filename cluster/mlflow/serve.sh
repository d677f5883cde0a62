#!/bin/bash
# A team's MLflow on one machine: PostgreSQL in a folder of its own, and MLflow's server with users. With Debian's
# postgresql, and a Python that has `pip install --constraint constraints.txt "mlflow[auth]" psycopg2-binary`:
#
#   cluster/mlflow/serve.sh                     # until Ctrl-C; the same command goes on with what there is
#   python cluster/mlflow/add_user.py ada       # while it runs: a user, whose password goes to a file
#
# MLFLOW_HOME     all that it keeps (~/smoothray-mlflow): the database, artifacts, passwords, the server's log
# MLFLOW_PORT     5000                  MLFLOW_HOST  127.0.0.1: see README.md before you change it
# ARTIFACTS       where artifacts go: a folder (MLFLOW_HOME/artifacts), or s3://BUCKET/FOLDER (pip install boto3)
# Arguments are handed on to `mlflow server`.
#
# No password stands on a command line. PostgreSQL has none: it listens on a socket alone, and lets in this user.
# (It refuses root, who has the user postgres run it.)
set -euo pipefail
umask 077

fail() {
  echo "error: $1" >&2
  exit 2
}

home=$(realpath -m "${MLFLOW_HOME:-$HOME/smoothray-mlflow}")
programs=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -n 1) || true
PATH=${programs:+$programs:}$PATH
command -v initdb > /dev/null || fail "PostgreSQL is missing; install Debian's postgresql"
python -c 'import mlflow, flask_wtf, psycopg2' 2> /dev/null ||
  fail "$(command -v python) lacks MLflow's users; run: pip install 'mlflow[auth]' psycopg2-binary"
[ ${#home} -le 80 ] || fail "MLFLOW_HOME is longer than a socket's name may be: $home"

mkdir -p "$home"
keeper=$(id -un) as=()
if [ "$keeper" = root ]; then
  id postgres > /dev/null 2>&1 || fail "as root this needs the user postgres; install Debian's postgresql"
  keeper=postgres as=(runuser -u postgres --)
  chmod 711 "$home"                             # so that it reaches its own folders
fi
cd "$home"
exec 9> lock
flock -n 9 || fail "another serve.sh keeps $home already"
"${as[@]}" test -x "$home" || fail "the user postgres cannot reach $home; set MLFLOW_HOME, such as to /var/lib/smoothray-mlflow"
install -d -m 700 -o "$keeper" database socket
[ -s database/PG_VERSION ] || "${as[@]}" initdb --auth=peer --encoding=UTF8 -D "$home/database" > /dev/null
for secret in admin-password server-key; do
  [ -s "$home/$secret" ] || python -c 'import secrets; print(secrets.token_urlsafe(24))' > "$home/$secret"
done
cat > "$home/users.ini" << END
[mlflow]
default_permission = READ
database_uri = postgresql+psycopg2:///mlflow_users?host=$home/socket
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
# A password is checked once a minute, not for each of a study's requests.
auth_cache_ttl_seconds = 60
END

"${as[@]}" pg_ctl -D "$home/database" status > /dev/null ||
  "${as[@]}" pg_ctl -D "$home/database" -w -l "$home/database/log" -o "-k '$home/socket' -h ''" start > /dev/null 9>&-
server=
stop() {
  [ -z "$server" ] || { kill "$server" 2> /dev/null && wait "$server"; } || true
  "${as[@]}" pg_ctl -D "$home/database" -w -m fast stop > /dev/null
}
trap stop EXIT
trap 'exit 130' INT TERM
ask() { "${as[@]}" psql -h "$home/socket" -d postgres -v ON_ERROR_STOP=1 -qtAc "$1"; }
[ "$(id -un)" = "$keeper" ] || [ "$(ask "select 1 from pg_roles where rolname = '$(id -un)'")" ] ||
  ask "create role \"$(id -un)\" login"
for database in mlflow mlflow_users; do
  [ "$(ask "select 1 from pg_database where datname = '$database'")" ] ||
    ask "create database $database owner \"$(id -un)\""
done

export MLFLOW_AUTH_CONFIG_PATH="$home/users.ini" MLFLOW_DISABLE_TELEMETRY=true
MLFLOW_AUTH_ADMIN_PASSWORD=$(< "$home/admin-password") MLFLOW_FLASK_SERVER_SECRET_KEY=$(< "$home/server-key") \
  MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
  python -m mlflow server --app-name basic-auth --host "${MLFLOW_HOST:-127.0.0.1}" --port "${MLFLOW_PORT:-5000}" \
  --workers 2 --backend-store-uri "postgresql+psycopg2:///mlflow?host=$home/socket" \
  --artifacts-destination "${ARTIFACTS:-$home/artifacts}" "$@" > "$home/server.log" 2>&1 &
server=$!
echo "MLflow: http://${MLFLOW_HOST:-127.0.0.1}:${MLFLOW_PORT:-5000}; admin's password is in $home/admin-password" >&2
code=0
wait "$server" || code=$?
server=
[ "$code" -eq 0 ] || echo "error: MLflow's server ended; see $home/server.log" >&2
exit "$code"
