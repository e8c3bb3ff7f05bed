# Who is compared, how each is started and stopped, and how each is asked. Sourced by scripts/bench.

# Addresses of a contestant, separated by commas, by its name; and its names in tables.
declare -A address
declare -A title=([redis]='redis-server' [one]='one node' [three]='three nodes' [follower]='through a follower'
  [six]='three nodes, 6 partitions' [etcd]='etcd, three members')

# scaled N: N times --scale, at least 1.
scaled() { awk -v n="$1" -v by="$scale" 'BEGIN { n *= by; printf "%d", n < 1 ? 1 : n }'; }

# forget PID: it has ended.
forget() {
  local other left=()
  for other in "${pids[@]}"; do [ "$other" = "$1" ] || left+=("$other"); done
  pids=(${left[@]+"${left[@]}"})
}

# stop PID...: ends processes in good order.
stop() {
  local each
  kill -TERM "$@" 2>/dev/null || die "a server ended by itself: is another one on these ports?"
  for each in "$@"; do
    wait "$each" 2>/dev/null || :
    forget "$each"
  done
}

stop_all() {
  ((${#pids[@]} == 0)) || stop "${pids[@]}"
  address=()
  rm -rf "$data"/servers
}

start_redis() {
  mkdir -p "$data/servers/redis"
  redis-server --port "$base" --bind 127.0.0.1 --dir "$data/servers/redis" --appendonly yes --appendfsync always --save '' \
    >"$data/servers/redis.log" 2>&1 &
  pids+=($!)
  local until=$((SECONDS + 30))
  until redis-cli -p "$base" ping 2>/dev/null | grep -q PONG; do
    ((SECONDS < until)) || die "redis-server did not start: $(tail -n 3 "$data/servers/redis.log")"
    read -rt 0.1 <> <(:) || :
  done
  address[redis]=127.0.0.1:$base
}

# start_cluster NAME FIRST_PORT NODES [ARGUMENTS...]: its nodes' addresses are address[NAME]; `cluster` holds their pids.
start_cluster() {
  local name=$1 first=$2 nodes=$3 i list=
  shift 3
  cluster=()
  for ((i = 1; i <= nodes; i++)); do
    start_node "$first" "$nodes" "$i" "$data/servers/$name" "$@"
    pids+=("$started") cluster+=("$started")
    list+=${list:+,}127.0.0.1:$(resp_port "$first" "$i")
  done
  for ((i = 1; i <= nodes; i++)); do
    wait_ready "$(http_port "$first" "$i")" "${cluster[i - 1]}" 60 ||
      die "node $i of $name did not start: $(tail -n 3 "$data/servers/$name/node$i.log")"
  done
  address[$name]=$list
}

start_one() { start_cluster one $((base + 100)) 1; }

# The cluster is measured at the node that leads, and once more at one that forwards.
start_three() {
  start_cluster three $((base + 200)) 3
  follow_leader
}

# follow_leader: where three nodes are asked, as long as no other one leads; said when another one does, as it should not.
follow_leader() {
  local first=$((base + 200)) leader at
  leader=$("$holdfast" status --http "127.0.0.1:$(http_port "$first" 1)" | awk '$1 == 1 && $2 == "0-16383" { print $3 }')
  [[ $leader =~ ^[123]$ ]] || die "the cluster has no leader"
  at=127.0.0.1:$(resp_port "$first" "$leader")
  [[ ${address[follower]:-} = '' || ${address[three]} = "$at" ]] || say "node $leader leads three nodes now, without a fault"
  address[three]=$at
  address[follower]=127.0.0.1:$(resp_port "$first" $((leader % 3 + 1)))
}

# Clients at every node, leaders of partitions at every node.
start_six() { start_cluster six $((base + 300)) 3 --partitions 6; }

have_etcd() { command -v etcd >/dev/null; }

start_etcd() {
  local i list= peers= first=$((base + 400))
  for i in 1 2 3; do peers+=${peers:+,}m$i=http://127.0.0.1:$((first + 10 + i)); done
  mkdir -p "$data/servers"
  for i in 1 2 3; do
    etcd --name "m$i" --data-dir "$data/servers/etcd$i" --initial-cluster "$peers" --initial-cluster-state new \
      --listen-client-urls "http://127.0.0.1:$((first + i))" --advertise-client-urls "http://127.0.0.1:$((first + i))" \
      --listen-peer-urls "http://127.0.0.1:$((first + 10 + i))" \
      --initial-advertise-peer-urls "http://127.0.0.1:$((first + 10 + i))" >"$data/servers/etcd$i.log" 2>&1 &
    pids+=($!)
    list+=${list:+,}127.0.0.1:$((first + i))
  done
  local until=$((SECONDS + 60))
  for i in 1 2 3; do
    until http_get $((first + i)) /health | grep -q '"health": *"true"'; do
      ((SECONDS < until)) || die "etcd did not start: $(tail -n 3 "$data/servers/etcd$i.log")"
      read -rt 0.2 <> <(:) || :
    done
  done
  address[etcd]=$list
}

# ask CONTESTANT FLAGS...: puts load on it; prints requests per second and the microseconds of p50, p99 and p99.9.
ask() {
  local who=$1 line kind=()
  shift
  [ "$who" != etcd ] || kind=(etcd)
  line=$("$holdfast" bench ${kind[@]+"${kind[@]}"} --address "${address[$who]}" --json "$@") ||
    die "${title[$who]:-$who} could not be measured with: $*"
  sed -E 's/.*"per_second":([0-9.e]+).*"p50_us":([0-9.e]+),"p99_us":([0-9.e]+),"p999_us":([0-9.e]+).*/\1\t\2\t\3\t\4/' <<<"$line"
}

# record ROW CONTESTANT FLAGS...: what `ask` prints becomes a line of $results.
record() {
  local row=$1 who=$2 line
  shift 2
  line=$(ask "$who" "$@") || exit 1
  printf '%s\t%s\t%s\n' "$row" "$who" "$line" >>"$results"
}

# fill CONTESTANT KEYS [BYTES]: sets every key once.
fill() {
  local who=$1
  [ "$who" != follower ] || return 0
  if [ "$who" = etcd ]; then ask "$who" --commands set --distribution sequence --keys "$2" --requests "$2" --value-size "${3:-100}" >/dev/null
  else
    ask "$who" --commands set --distribution sequence --keys "$2" --requests "$2" --value-size "${3:-100}" \
      --clients 16 --pipeline "$(((${3:-100}) > 4096 ? 1 : 64))" >/dev/null
  fi || exit 1
}

# resident PID: its megabytes (10^6 bytes) in memory.
resident() { awk '/^VmRSS:/ { printf "%.1f", $2 * 1024 / 1e6 }' "/proc/$1/status"; }
