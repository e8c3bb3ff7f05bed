#!/usr/bin/env bash
# Kills the leader again and again under load. Fails on any error at a client of another node, on a lost or doubled write,
# and on a history that no linearizable store can have.
# usage: chaos/kill-leader.sh [SECONDS=60] [OPTIONS OF holdfast-chaos run...]
source "$(dirname "$0")/../scripts/lib.sh"
need_chaos
exec "$chaos" run --holdfast "$holdfast" --faults kill-leader --lanes 1 --strict --seconds "${1:-60}" "${@:2}"
