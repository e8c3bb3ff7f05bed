#!/usr/bin/env bash
# Cuts the network between nodes in every way under load: leader isolated, halves, one way only, a ring. As root in network
# namespaces, else at the proxy between the nodes.
# usage: chaos/partition.sh [SECONDS=60] [OPTIONS OF holdfast-chaos run...]
source "$(dirname "$0")/../scripts/lib.sh"
need_chaos
exec "$chaos" run --holdfast "$holdfast" --faults partition --lanes 1 --strict --seconds "${1:-60}" "${@:2}"
