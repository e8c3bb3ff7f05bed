#!/usr/bin/env bash
# Measures how long writes wait: leader killed 200 times, paused and cut off 50 times each, killed within a second of a healed
# partition 20 times, every node told to end 10 times. Fails when a figure misses its target, and on everything that
# chaos/kill-leader.sh fails on. Takes about half an hour.
# usage: chaos/failover.sh [OPTIONS OF holdfast-chaos failover...]
#   --samples FILE --seconds 300   a part of it: what FILE has already is not measured again. Run it until nothing is left.
# `holdfast-chaos samples FILE...` sums files up and tells the story of each fault that took longer than its target.
source "$(dirname "$0")/../scripts/lib.sh"
need_chaos
exec "$chaos" failover --holdfast "$holdfast" --default-settings --rate 2000 "$@"
