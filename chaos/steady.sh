#!/usr/bin/env bash
# Full load on a healthy three-node cluster for SECONDS: no node may see an election, no client an error, counters must be
# exact, and memory must be flat (the last quarter of the time at most a tenth above the second). Prints what was done.
# usage: chaos/steady.sh [SECONDS=3600] [BASE_PORT=21300]
source "$(dirname "$0")/../scripts/lib.sh"
seconds=${1:-3600} base=${2:-21300}
need_redis
need_server

data=$(mktemp -d)
pids=(0 0 0 0)
load=()
cleanup() {
  touch "$data/stop"
  ((${#load[@]} == 0)) || wait "${load[@]}" 2>/dev/null || :
  for i in 1 2 3; do [ "${pids[i]}" = 0 ] || kill -TERM "${pids[i]}" 2>/dev/null || :; done
  wait 2>/dev/null || :
  rm -rf "$data"
}
trap cleanup EXIT

for i in 1 2 3; do start_node "$base" 3 $i "$data"; pids[i]=$started; done
for i in 1 2 3; do
  wait_ready "$(http_port "$base" $i)" "${pids[i]}" 60 || { tail -n 20 "$data/node$i.log" >&2; die "node $i is not ready"; }
done

# terms NODE: the term of every group there.
terms() { http_get "$(http_port "$base" "$1")" /status | grep -o '"id":[0-9]*\|"term":[0-9]*' | paste -sd' '; }

# drive NODE PIPELINE: sets, gets and increments through a node until the time is over; counts what was asked for.
drive() {
  local node=$1 pipeline=$2 n=$((20000 * $2)) port done=0
  port=$(resp_port "$base" "$node")
  while [ ! -e "$data/stop" ]; do
    for what in "-t set" "-t get" "INCR total-$node"; do
      # shellcheck disable=SC2086
      redis-benchmark -p "$port" -c 50 -P "$pipeline" -n $n -d 100 -r 100000 -q $what >>"$data/benchmark$node" 2>&1 ||
        echo "error: redis-benchmark ended with code $?" >>"$data/benchmark$node"
    done
    done=$((done + n))
    echo $done >"$data/done$node"
  done
}

for i in 1 2 3; do first[i]=$(terms $i); done
begun=$SECONDS
for i in 1 2 3; do
  drive $i $((i == 2 ? 16 : 1)) &
  load+=($!)
done
say "load on three nodes for $seconds s; terms: ${first[1]}"
while ((SECONDS - begun < seconds)); do
  read -rt 10 <> <(:) || :
  for i in 1 2 3; do
    kill -0 "${pids[i]}" 2>/dev/null || die "node $i ended by itself: $(tail -n 3 "$data/node$i.log")"
    echo "$((SECONDS - begun)) $(awk '/VmRSS/ { print int($2 / 1024) }' "/proc/${pids[i]}/status")" >>"$data/memory$i"
  done
done
touch "$data/stop"
wait "${load[@]}"
load=()

failed=
total=0
for i in 1 2 3; do
  errors=$(grep -aiE 'error|closed|refused|unknown' "$data/benchmark$i" | sort | uniq -c | head -n 3 || :)
  [ -z "$errors" ] || { failed=1; echo "clients of node $i saw: $errors" >&2; }
  [ "$(terms $i)" = "${first[i]}" ] || { failed=1; echo "node $i saw an election: $(terms $i) instead of ${first[i]}" >&2; }
  wanted=$(cat "$data/done$i")
  stored=$(redis-cli -p "$(resp_port "$base" $((i % 3 + 1)))" get "total-$i")
  [ "$stored" = "$wanted" ] || { failed=1; echo "total-$i is $stored after $wanted acknowledged increments" >&2; }
  total=$((total + 3 * wanted))
  memory=$(awk -v seconds="$seconds" '
    $1 >= seconds / 4 && $1 < seconds / 2 { early += $2; earlies++ }
    $1 >= seconds * 3 / 4 { late += $2; lates++ }
    $2 > most { most = $2 }
    END { if (earlies && lates) printf "%d %d %d", early / earlies, late / lates, most }' "$data/memory$i")
  read -r early late most <<<"$memory"
  say "node $i: memory $early MB in the second quarter, $late MB in the last, $most MB at most"
  ((late * 10 <= early * 11)) || { failed=1; echo "the memory of node $i grows" >&2; }
done
if [ -n "$failed" ]; then
  # Why leadership moved, and what was slow before it.
  for i in 1 2 3; do
    echo "--- node $i" >&2
    grep -E ' (WARN|ERROR) |runtime::leadership' "$data/node$i.log" | tail -n 25 >&2 || :
  done
  die "not steady"
fi
say "$total commands acknowledged in $((SECONDS - begun)) s, no election, no error, counters exact, memory flat"
