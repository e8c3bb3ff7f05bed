# Flame graphs of the leader and of a follower. Sourced by scripts/bench.

need perf=linux-perf
flames=$target/tools/bin
if [ ! -x "$flames/inferno-flamegraph" ]; then
  say "building inferno, which draws flame graphs"
  cargo install --quiet --locked --root "$target/tools" inferno
fi
start_three
first=$((base + 200))
leader=$((${address[three]##*:} - $(resp_port "$first" 1)))
follower=$((${address[follower]##*:} - $(resp_port "$first" 1)))
table=

# The threads of one kind are one tower, whatever their number.
merge='s/^machine-[0-9]+;/machine;/; s/^rocksdb[^;]*;/rocksdb;/'

# flame FILE NODE TITLE ADDRESS TEST: draws what a node (0, 1 or 2) does while redis-benchmark asks at an address.
flame() {
  local file=$1 node=$2 name=$3 asks=$4 test=$5 load
  redis-benchmark -p "${asks#*:}" -n 100000000 -c 50 -d 100 -r 100000 -q -t "$test" >/dev/null 2>&1 &
  load=$!
  pids+=($load)
  # Copies of the stack, as neither the standard library nor RocksDB keeps frame pointers.
  perf record --quiet --event cpu-clock --freq 199 --call-graph dwarf,16384 --pid "${cluster[node]}" --output "$data/perf" \
    -- sleep "$(awk -v s="$seconds" 'BEGIN { print s < 1 ? 1 : s }')" >/dev/null 2>&1 || die "perf could not look at a node (see /proc/sys/kernel/perf_event_paranoid)"
  stop $load
  perf script --no-inline --input "$data/perf" 2>/dev/null | "$flames/inferno-collapse-perf" 2>/dev/null | sed -E "$merge" >"$data/folded"
  "$flames/inferno-flamegraph" --quiet --title "$name" --width 1200 --minwidth 0.3 --nametype 'Function:' --countname samples \
    <"$data/folded" >"$pictures/$file.svg" || die "$file.svg could not be drawn"
  table+="| [$name](bench/$file.svg) | $(shares) |"$'\n'
  say "drawn: $file.svg"
}

# shares: the threads of $data/folded with their share of the samples, the largest first.
shares() {
  awk '{ n = $NF; split($0, part, ";"); of[part[1]] += n; all += n }
    END { for (name in of) printf "%s\t%.0f\n", name, 100 * of[name] / all }' "$data/folded" |
    sort -t "$(printf '\t')" -k2,2nr | awk -F'\t' '$2 >= 1 { printf "%s%s %s %%", sep, $1, $2; sep = ", " }'
}

redis-benchmark -p "${address[three]#*:}" -n 400000 -c 50 -d 100 -r 100000 -P 16 -q -t set >/dev/null
flame flame-leader-set $leader 'Leader, SET' "${address[three]}" set
flame flame-follower-set $follower 'Follower, SET at the leader' "${address[three]}" set
flame flame-leader-get $leader 'Leader, GET' "${address[three]}" get
flame flame-forwarder-get $follower 'Follower that forwards GET' "${address[follower]}" get

publish flames <<EOT
Written by \`scripts/bench --flames --seconds $seconds\`: \`perf\` looks 199 times a second at what a node of three does, while redis-benchmark
asks with 50 clients, 100-byte values, 100,000 random keys and no pipelining. A tower is a thread; its frames can be clicked.

$(environment)

| picture | share of the samples |
|---|---|
$table
EOT
