# How throughput grows with clients, partitions and keys, as curves. Sourced by scripts/bench.

count=${rounds:-3}
keys=$(scaled 100000)
told=$data/told
: >"$told"

# picture FILE TITLE X ALT: draws $results and tells where the curves bend.
picture() {
  {
    echo "### $2"
    echo
    echo "![$2](bench/$1.svg)"
    echo
    curves | "$holdfast" bench plot --title "$2" --x "$3" --output "$pictures/$1.svg" | sed 's/^/- /'
    echo
  } >>"$told" || die "$1 could not be drawn"
  cp "$results" "$data/$1.tsv"
  say "drawn: $1.svg"
}

# point X SERIES CONTESTANT FLAGS...: a line of $results under the name of its curve.
point() {
  local x=$1 series=$2 who=$3 line
  shift 3
  line=$(ask "$who" --seconds "$seconds" "$@") || exit 1
  printf '%s\t%s\t%s\n' "$x" "$series" "$line" >>"$results"
}

start_redis
start_one
start_three
for who in redis one three; do fill $who "$keys"; done
for ((round = 1; round <= count; round++)); do
  for clients in 1 2 5 10 20 50 100 200 500 1000; do
    for commands in set get; do
      for who in redis one three; do
        point $clients "${commands^^}, ${title[$who]}" $who --commands $commands --keys "$keys" --clients $clients
      done
    done
  done
done
picture clients 'Throughput over clients' clients

# Keys pile up: each size is filled on top of the one before.
: >"$results"
for size in 10000 100000 1000000 10000000; do
  size=$(scaled $size)
  for who in redis one three; do fill $who "$size"; done
  for ((round = 1; round <= count; round++)); do
    for commands in set get; do
      for who in redis one three; do
        point "$size" "${commands^^}, ${title[$who]}" $who --commands $commands --keys "$size"
      done
    done
  done
done
picture keys 'Throughput over keys' keys
stop_all

# A cluster of its own for each number, as it is decided when a cluster begins.
: >"$results"
for ((round = 1; round <= count; round++)); do
  for partitions in 1 2 4 8 16 32 64; do
    start_cluster partitions $((base + 500)) 3 --partitions $partitions
    fill partitions "$keys"
    for commands in set get; do
      for pipeline in 1 16; do
        point $partitions "${commands^^}, pipeline $pipeline" partitions --commands $commands --keys "$keys" --pipeline $pipeline
      done
    done
    stop_all
  done
done
picture partitions 'Throughput over partitions, three nodes' partitions

publish growth <<EOT
Written by \`scripts/bench --growth --rounds $count --seconds $seconds --scale $scale\`: medians of $count rounds, requests per second.
50 clients in a closed loop, 100-byte values, $keys keys with the same chance, no pipelining, one partition, clients at
the leader, unless the axis or the curve says otherwise; over partitions, clients at all three nodes in turn. Below each
picture stands by what factor a doubling multiplies throughput, and from where on another one holds.

$(environment)

$(cat "$told")
EOT
