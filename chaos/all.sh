#!/usr/bin/env bash
# Every kind of fault, mixed at random under load. Fails on any violation, and on a kind of fault that never had an effect.
# usage: chaos/all.sh SECONDS [--compose] [OPTIONS OF holdfast-chaos run...]
#   --compose          the containers of docker-compose.yml: those that are up (docker-compose ps), or else ones that are made
#                      for this run and removed after it. They have the kinds kill-*, restart, pause-*, isolate-leader, halves,
#                      one-way, ring and client-*, each of which must have an effect. The others are left out: peer-* needs a
#                      proxy between the nodes, full-disk, lost-writes, power-cut-all and clock-offset disks and clocks of their
#                      own, slow-disk and sync-error a process that may be traced and whose end the engine does not answer by
#                      starting it again
#   --allow-missing    kinds that this machine cannot do (no root, no FUSE ...) do not fail the run; the report names them
#   --allow-no-effect  nor do kinds that fired without an effect, as may happen within a minute
# HOLDFAST_SKIP_BUILD=1 takes the programs that are there.
source "$(dirname "$0")/../scripts/lib.sh"
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || { sed -n 's/^# \{0,1\}//p' "$0" | sed 1d >&2; exit 2; }
seconds=$1
shift
options=() containers=
for option; do
  case $option in
    --compose) containers=1; options+=(--wiring compose --allow-missing) ;;
    *) options+=("$option") ;;
  esac
done
need_chaos
[ -n "$containers" ] || exec "$chaos" run --holdfast "$holdfast" --seconds "$seconds" "${options[@]}"

source scripts/compose-lib.sh
need_compose
if [ -z "$("${compose[@]}" ps -q node1 2>/dev/null)" ]; then
  work=$(mktemp -d)
  remove() {
    "${compose[@]}" down --volumes --remove-orphans >/dev/null 2>&1 || :
    docker image rm -f holdfast-chaos >/dev/null 2>&1 || :
    rm -rf "$work" 2>/dev/null || as_root rm -rf "$work"
  }
  trap remove EXIT
  compose_project holdfast-chaos 21600
  node_image holdfast-chaos
  quietly "${compose[@]}" up -d --no-build
else
  # Nobody knows what these were built from.
  unset HOLDFAST_REVISION
fi
"$chaos" run --holdfast "$holdfast" --seconds "$seconds" "${options[@]}"
