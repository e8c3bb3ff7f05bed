#!/usr/bin/env bash
# Kills every node of a three-node cluster with SIGKILL, one after the other, ROUNDS times, while redis-benchmark and
# counting clients run through the other two. Fails on any error that a client of a surviving node saw, on a lost or
# doubled increment, and on any acknowledged key that is missing at the end.
# usage: chaos/kill-nodes.sh [ROUNDS=1] [BASE_PORT=21100]
source "$(dirname "$0")/../scripts/lib.sh"
rounds=${1:-1} base=${2:-21100}
need_redis
need_server

data=$(mktemp -d)
pids=(0 0 0 0)
cleanup() {
  for i in 1 2 3; do [ "${pids[i]}" = 0 ] || kill -KILL "${pids[i]}" 2>/dev/null || :; done
  wait 2>/dev/null || :
  rm -rf "$data"
}
trap cleanup EXIT

start() { start_node "$base" 3 "$1" "$data" && pids[$1]=$started; }
ready() { wait_ready "$(http_port "$base" "$1")" "${pids[$1]}" 60 || { tail -n 20 "$data/node$1.log" >&2; die "node $1 is not ready"; }; }
cli() { redis-cli -p "$(resp_port "$base" "$1")" "${@:2}"; }

for i in 1 2 3; do start $i; done
for i in 1 2 3; do ready $i; done

# count NODE KEY FILE: increments and sets through a node until FILE.stop exists; writes how many were acknowledged.
count() {
  local acknowledged=0 reply
  coproc CLI { redis-cli -p "$(resp_port "$base" "$1")" 2>&1; }
  while [ ! -e "$3.stop" ]; do
    echo "INCR $2" >&"${CLI[1]}"
    read -r reply <&"${CLI[0]}" || { echo "connection lost" >>"$3.errors"; break; }
    acknowledged=$((acknowledged + 1))
    [ "$reply" = "$acknowledged" ] || { echo "increment $acknowledged answered: $reply" >>"$3.errors"; break; }
    echo "SET $2:$acknowledged v$acknowledged" >&"${CLI[1]}"
    read -r reply <&"${CLI[0]}" || { echo "connection lost" >>"$3.errors"; break; }
    [ "$reply" = OK ] || { echo "set $acknowledged answered: $reply" >>"$3.errors"; break; }
  done
  echo $acknowledged >"$3"
  eval "exec ${CLI[1]}>&-"
}

total=0
for ((round = 1; round <= rounds; round++)); do
  for victim in 1 2 3; do
    jobs_running=()
    for node in 1 2 3; do
      [ $node = $victim ] && continue
      file=$data/count-$round-$victim-$node
      count $node "counter-$round-$victim-$node" "$file" 2>/dev/null &
      jobs_running+=($!)
      redis-benchmark -p "$(resp_port "$base" "$node")" -t set,get,incr -n 20000 -c 20 -r 10000 -q >"$file.benchmark" 2>&1 &
      jobs_running+=($!)
    done
    # The kill lands while the load runs: as soon as the first increments are acknowledged.
    until [ "$(cli $((victim % 3 + 1)) get "counter-$round-$victim-$((victim % 3 + 1))")" -gt 50 ] 2>/dev/null; do read -rt 0.05 <> <(:) || :; done
    kill -KILL "${pids[victim]}"; wait "${pids[victim]}" 2>/dev/null || :
    say "round $round: node $victim killed"
    for node in 1 2 3; do [ $node = $victim ] || wait_progress=$node; done
    before=$(cli $wait_progress get "counter-$round-$victim-$wait_progress")
    until [ "$(cli $wait_progress get "counter-$round-$victim-$wait_progress")" -gt $((before + 200)) ] 2>/dev/null; do read -rt 0.05 <> <(:) || :; done
    start $victim
    ready $victim
    for node in 1 2 3; do [ $node = $victim ] || touch "$data/count-$round-$victim-$node.stop"; done
    wait "${jobs_running[@]}"
    for node in 1 2 3; do
      [ $node = $victim ] && continue
      file=$data/count-$round-$victim-$node
      [ ! -e "$file.errors" ] || die "a client of node $node saw: $(cat "$file.errors")"
      if grep -qiE 'error|closed|refused' "$file.benchmark"; then die "redis-benchmark at node $node saw: $(grep -iE 'error|closed|refused' "$file.benchmark" | head -3)"; fi
      n=$(cat "$file")
      [ "$(cli $victim get "counter-$round-$victim-$node")" = "$n" ] || die "counter at node $node: $n acknowledged, $(cli $victim get "counter-$round-$victim-$node") stored"
      seq "$n" | sed "s/^/GET counter-$round-$victim-$node:/" | cli $victim >"$file.read"
      [ "$(seq "$n" | sed 's/^/v/' | cksum)" = "$(cksum <"$file.read")" ] || die "acknowledged keys of node $node are missing"
      total=$((total + 2 * n))
    done
  done
done
say "$((rounds * 3)) kills, $total counted writes, none lost, none doubled, no error at a client of a surviving node"
