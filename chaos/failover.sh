#!/usr/bin/env bash
# Measures how long writes wait: leader killed 200 times, paused and cut off 50 times each, every node told to end 10 times.
# Fails when a figure misses its target, and on everything that chaos/kill-leader.sh fails on. Takes about a quarter of an hour.
# usage: chaos/failover.sh [OPTIONS OF holdfast-chaos failover...]
source "$(dirname "$0")/../scripts/lib.sh"
need_chaos
exec "$chaos" failover --holdfast "$holdfast" --default-settings --rate 2000 "$@"
