# What `holdfast bench` says, one property of the load after the other. Sourced by scripts/bench.

count=${rounds:-3}
start_redis
start_one
start_three
start_six
contestants=(redis one three follower six)
! have_etcd || { start_etcd; contestants+=(etcd); }
keys=$(scaled 100000) many=$(scaled 5000000)
tables=$data/tables
: >"$tables"

# each ROW FLAGS...: all rounds' next question, to every contestant in turn; etcd only where it knows the question.
each() {
  local row=$1 who
  shift
  follow_leader
  for who in "${asked[@]}"; do
    [ "$who" != etcd ] || [[ " $* " =~ ' --commands '(set|get)' ' && ! " $* " =~ ' --pipeline ' ]] || continue
    record "$row" "$who" --seconds "$seconds" "$@"
  done
}

# table TITLE HEAD: closes a table of rates.
table() {
  { echo "### $1"; echo; rate_table "$2" "${asked[@]}"; echo; } >>"$tables"
  say "done: $1"
}

asked=("${contestants[@]}")
for who in "${asked[@]}"; do fill "$who" "$keys"; done
for ((round = 1; round <= count; round++)); do
  for pipeline in 1 16 128; do
    for commands in set get incr mset hset get=90,set=10; do
      name=${commands^^}
      flags=(--commands "$commands" --keys "$keys")
      [ $pipeline = 1 ] || flags+=(--pipeline $pipeline)
      each "${name//,/ } | $pipeline" "${flags[@]}"
    done
  done
done
table 'Commands and pipelines' 'command | pipeline'
cp "$results" "$data/commands"

: >"$results"
for ((round = 1; round <= count; round++)); do
  for bytes in 16 100 1024 65536; do
    # So that redis-server, which holds all of it in memory, does not need gigabytes.
    some=$((bytes > 4096 ? (keys < 1000 ? keys : 1000) : keys))
    [ $round != 1 ] || for who in "${asked[@]}"; do fill "$who" $some $bytes; done
    for commands in set get; do each "${commands^^} | $bytes | $some" --commands $commands --keys $some --value-size $bytes; done
  done
  # What GET finds is what SET left: values of the size before are no matter any more.
  for who in "${asked[@]}"; do fill "$who" "$keys"; done
done
table 'Sizes of values' 'command | bytes | keys'

: >"$results"
for ((round = 1; round <= count; round++)); do
  for clients in 1 10 50 200 1000; do
    for commands in set get; do each "${commands^^} | $clients" --commands $commands --keys "$keys" --clients $clients; done
  done
done
table 'Clients' 'command | clients'

# Half of what each was able to do above, begun at equal distances: what waits is counted from when it was due.
: >"$results"
asked=()
for who in "${contestants[@]}"; do [ "$who" = etcd ] || asked+=("$who"); done
for ((round = 1; round <= count; round++)); do
  for commands in set get get=90,set=10; do
    name=${commands^^}
    for who in "${asked[@]}"; do
      rate=$(results=$data/commands top "${name//,/ } | 1" "$who")
      record "${name//,/ }" "$who" --commands "$commands" --keys "$keys" --clients 64 --rate $((rate / 2 > 0 ? rate / 2 : 1)) --seconds "$seconds"
    done
  done
done
{ echo '### Latency at half of the top throughput'; echo; latency_table command "${asked[@]}"; echo; } >>"$tables"
say "done: latency"

# Last, because it fills them.
: >"$results"
asked=(redis one three)
for size in "$keys" "$many"; do
  for who in "${asked[@]}"; do fill "$who" "$size"; done
  for ((round = 1; round <= count; round++)); do
    for distribution in uniform zipf; do
      for commands in set get; do
        each "${commands^^} | $size | $distribution" --commands $commands --keys "$size" --distribution $distribution
      done
    done
  done
done
table 'Numbers of keys, and how they are chosen' 'command | keys | chosen'

publish workloads <<EOT
Written by \`scripts/bench --workloads --rounds $count --seconds $seconds --scale $scale\`: medians of $count rounds (lowest-highest),
requests per second; the ratio is to redis-server. Unless a table says otherwise: 50 clients in a closed loop, no
pipelining, 100-byte values, $keys keys with the same chance, one partition.

$(environment)
- \`holdfast bench --address ADDRESS --json --seconds $seconds --commands COMMAND --keys $keys\`, with \`--pipeline\`,
  \`--value-size\`, \`--clients\`, \`--distribution\` and \`--rate\` as the tables say; one thread. MSET sets ten keys.
- "three nodes": clients at the leader. "6 partitions": clients at all three nodes in turn, leaders spread.

$(cat "$tables")
EOT
