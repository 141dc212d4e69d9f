#!/bin/sh
# Dagster's own programs read dagster.yaml, and with it variables that `ingest env` makes of DATABASE_URL. The other
# programs of the image make them themselves.
set -eu
case "${1:-}" in
  dagster | dagster-daemon | dagster-webserver)
    # In two steps: a failure within eval's argument would be lost.
    environment=$(ingest env)
    eval "$environment"
    ;;
esac
exec "$@"
