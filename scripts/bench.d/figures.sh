# What redis-benchmark says. Sourced by scripts/bench.

count=${rounds:-5}
start_redis
start_one
start_three
contestants=(redis one three follower)
value=$(printf 'x%.0s' {1..100})

# figure CONTESTANT PIPELINE REQUESTS TEST: a line of $results.
figure() {
  local who=$1 pipeline=$2 requests=$3 test=$4 words=(-t "$4")
  [ "$test" != xadd ] || words=(XADD mystream '*' myfield "$value")
  # CSV: "test","rps",avg,min,p50,p95,p99,max; LRANGE_100 fills its list first, which is the line before.
  redis-benchmark -p "${address[$who]#*:}" -n "$requests" -c 50 -d 100 -r 100000 -P "$pipeline" --csv "${words[@]}" 2>/dev/null |
    awk -F'","' -v row="${test^^} | $pipeline" -v who="$who" '$2 + 0 > 0 { rate = $2 } END { if (!rate) exit 1; printf "%s\t%s\t%s\n", row, who, rate }' \
      >>"$results" || die "redis-benchmark gave no result for $test against ${title[$who]}"
}

for ((round = 1; round <= count; round++)); do
  for pipeline in 1 16; do
    for test in ${tests//,/ }; do
      [[ $pipeline = 1 || $test =~ ^(set|get|incr)$ ]] || continue
      follow_leader
      for contestant in "${contestants[@]}"; do
        figure "$contestant" $pipeline $((requests * (pipeline == 1 ? 1 : 4))) "$test"
      done
    done
  done
  say "round $round of $count done"
done

publish figures <<EOT
Written by \`scripts/bench --figures --rounds $count --requests $requests --tests $tests\`: medians of $count rounds
(lowest-highest), requests per second; the ratio is to redis-server.

$(environment)
- redis-benchmark: 50 clients, 100-byte values, 100,000 random keys; pipelines of 1 ($requests requests) and 16 ($((requests * 4)) requests)

$(rate_table 'command | pipeline' "${contestants[@]}")
EOT
