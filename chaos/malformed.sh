#!/usr/bin/env bash
# Opens very many connections that send no requests (random bytes, mutated and cut requests, absurd lengths, garbage for the
# ports of peers and HTTP) against three nodes under load. Fails when a node ends, panics, grows or loses a count.
# usage: chaos/malformed.sh [CONNECTIONS=100000] [OPTIONS OF holdfast-chaos malformed...]
source "$(dirname "$0")/../scripts/lib.sh"
need_chaos
exec "$chaos" malformed --holdfast "$holdfast" --connections "${1:-100000}" "${@:2}"
