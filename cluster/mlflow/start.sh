#!/bin/sh
# What compose.yaml's server runs: the secrets are files, and go to the server's environment, not its command line.
set -eu
PGPASSWORD=$(cat /run/secrets/database-password)
MLFLOW_AUTH_ADMIN_PASSWORD=$(cat /run/secrets/admin-password)
MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat /run/secrets/server-key)
export PGPASSWORD MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY
# The image of PostgreSQL makes one database; users have one of their own.
python - << 'END'
import psycopg2

connection = psycopg2.connect(host="database", user="mlflow", dbname="mlflow")
connection.autocommit = True
with connection.cursor() as cursor:
    cursor.execute("select 1 from pg_database where datname = 'mlflow_users'")
    if not cursor.fetchone():
        cursor.execute("create database mlflow_users")
END
exec mlflow server --app-name basic-auth --host "$LISTEN" --port 5000 --workers 2 \
  --backend-store-uri postgresql+psycopg2://mlflow@database/mlflow \
  --artifacts-destination "$ARTIFACTS"
