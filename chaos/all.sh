#!/usr/bin/env bash
# Every kind of fault, mixed at random under load. Fails on any violation, and on a kind of fault that never had an effect.
# usage: chaos/all.sh SECONDS [--compose] [OPTIONS OF holdfast-chaos run...]
#   --compose        the containers of docker-compose.yml, which must be up; kinds that need the nodes' own files are left out
#   --allow-missing  kinds that this machine cannot do (no root, no FUSE ...) or that fire without an effect do not fail the run;
#                    the report names them
source "$(dirname "$0")/../scripts/lib.sh"
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || { sed -n 's/^# \{0,1\}//p' "$0" | sed 1d >&2; exit 2; }
seconds=$1
shift
options=()
for option; do
  case $option in
    --compose) options+=(--wiring compose --allow-missing) ;;
    *) options+=("$option") ;;
  esac
done
need_chaos
exec "$chaos" run --holdfast "$holdfast" --seconds "$seconds" "${options[@]}"
