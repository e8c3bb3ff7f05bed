# What a node needs of memory, against its targets. Sourced by scripts/bench.

first=$((base + 600))
rows=$data/memory
: >"$rows"
missed=0

# line WHAT MEASURED TARGET UNIT: a row of the table; without a target it is only told.
line() {
  local verdict=-
  if [ -n "$3" ]; then
    verdict=$(awk -v is="$2" -v most="$3" 'BEGIN { print is <= most ? "yes" : "**no**" }')
    [ "$verdict" = yes ] || missed=$((missed + 1))
  fi
  printf '| %s | %s %s | %s | %s |\n' "$1" "$2" "$4" "${3:+at most $3 $4}" "$verdict" | tee -a "$rows"
}

# settle PID: until its memory does not change by more than 2 % within 3 s; a minute at most.
settle() {
  local before now left=20
  before=$(resident "$1")
  while ((left--)); do
    read -rt 3 <> <(:) || :
    now=$(resident "$1")
    awk -v a="$before" -v b="$now" 'BEGIN { d = a - b; exit !(d * d <= (0.02 * a) ^ 2) }' && return
    before=$now
  done
}

# holds KEYS: that many keys are there, or what was measured is of something else.
holds() {
  local found
  found=$(redis-cli -p "${address[memory]#*:}" dbsize)
  [ "$found" = "$1" ] || die "the node holds $found keys where $1 were written"
}

# node [ARGUMENTS...]: starts the node that is measured, on what it left before.
node() { start_cluster memory "$first" 1 "$@"; pid=${cluster[0]}; }

keys=$(scaled 1000000) idle=$(scaled 20000) large=$(scaled 5000000)
ulimit -n $((idle + 2000)) 2>/dev/null || say "the limit of open files stays at $(ulimit -n)"

node
settle "$pid"
line 'a node idle' "$(resident "$pid")" 100 MB

export HOLDFAST_CLIENTS__MAX=$((idle + 1000))
stop "$pid"
node
settle "$pid"
before=$(resident "$pid")
mkfifo "$data/hold"
"$holdfast" bench idle --address "${address[memory]}" --clients "$idle" <"$data/hold" >"$data/idle" 2>&1 &
holder=$!
pids+=($holder)
exec 9>"$data/hold"
until=$((SECONDS + 300))
until grep -q 'are open' "$data/idle"; do
  kill -0 $holder 2>/dev/null && ((SECONDS < until)) || die "idle connections: $(cat "$data/idle")"
  read -rt 0.2 <> <(:) || :
done
settle "$pid"
line "$idle idle connections, more than without" "$(awk -v a="$before" -v b="$(resident "$pid")" 'BEGIN { printf "%.1f", b - a }')" 400 MB
exec 9>&-
wait $holder || die "idle connections: $(cat "$data/idle")"
forget $holder
unset HOLDFAST_CLIENTS__MAX

fill memory "$keys"
ask memory --commands get --distribution sequence --keys "$keys" --requests "$keys" --pipeline 64 --clients 16 >/dev/null
holds "$keys"
settle "$pid"
line "$keys keys of 100 bytes, all written and read" "$(resident "$pid")" 1000 MB
stop "$pid"

# Everything is on disk now, and the block cache is too small for it, so what grows is the record cache.
export HOLDFAST_CACHE__BYTES=$((1 << 30)) HOLDFAST_STORAGE__BLOCK_CACHE_BYTES=1048576
node
settle "$pid"
before=$(resident "$pid")
ask memory --commands get --distribution sequence --keys "$keys" --requests "$keys" --pipeline 64 --clients 16 >/dev/null
settle "$pid"
cached=$(http_get "$(http_port "$first" 1)" /metrics | awk '$1 ~ /^holdfast_l1_bytes/ { print $2; exit }')
# Of each key at least its value must be there.
((${cached:-0} >= keys * 100)) || die "the record cache holds ${cached:-an unknown number of} bytes, so not all of the $keys keys"
# A key has 16 bytes and its value 100.
overhead=$(awk -v a="$before" -v b="$(resident "$pid")" -v n="$keys" 'BEGIN { printf "%.0f", (b - a) * 1e6 / n - 116 }')
line "overhead per cached key" "$overhead" 100 bytes
stop "$pid"
unset HOLDFAST_CACHE__BYTES HOLDFAST_STORAGE__BLOCK_CACHE_BYTES
rm -rf "$data/servers"

# 256 MB: four times the write buffer, block cache, record cache.
export HOLDFAST_STORAGE__WRITE_BUFFER_BYTES=$((16 << 20)) HOLDFAST_STORAGE__BLOCK_CACHE_BYTES=$((128 << 20)) HOLDFAST_CACHE__BYTES=$((64 << 20))
node
begun=$SECONDS
fill memory "$large" 1000
holds "$large"
say "$large values of 1,000 bytes written in $((SECONDS - begun)) s"
: >"$results"
for commands in get set; do
  record "${commands^^}, closed loop of 50 clients" memory --commands $commands --keys "$large" --value-size 1000 --seconds "$seconds"
  rate=$(top "${commands^^}, closed loop of 50 clients" memory)
  record "${commands^^}, half of that" memory --commands $commands --keys "$large" --value-size 1000 --clients 64 \
    --rate $((rate / 2 > 0 ? rate / 2 : 1)) --seconds "$seconds"
done
peak=$(awk '/^VmHWM:/ { printf "%.1f", $2 * 1024 / 1e6 }' "/proc/$pid/status")
disk=$(du -sm --apparent-size "$data/servers/memory/node1" | cut -f1)
title[memory]='one node'
line "$(awk -v n="$large" 'BEGIN { printf "%.1f GB of data with 256 MB of memory set", n / 1e6 }'), $disk MiB on disk: the most that the process had" "$peak" '' MB
unset HOLDFAST_STORAGE__WRITE_BUFFER_BYTES HOLDFAST_STORAGE__BLOCK_CACHE_BYTES HOLDFAST_CACHE__BYTES
stop "$pid"

publish memory <<EOT
Written by \`scripts/bench --memory --scale $scale\`. Memory is what the system counts as resident (\`VmRSS\`), 1 MB = 10^6 bytes.

$(environment)
- 256 MB of memory set: \`storage.write_buffer_bytes\` 16 MiB, of which a flush may need four times as much,
  \`storage.block_cache_bytes\` 128 MiB, \`cache.bytes\` 64 MiB. Overhead per cached key: what the process grew by when all
  keys were read into the record cache, less 116 bytes for each key and its value, with a block cache of 1 MiB.

| what | measured | target | reached |
|---|---|---|---|
$(cat "$rows")

$(latency_table 'data larger than memory' memory)
EOT
((missed == 0)) || { say "$missed targets are missed"; [ -n "$smoke" ] || status=1; }
