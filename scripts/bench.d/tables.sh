# From lines of $results (row, contestant, figures; with tabs) to tables, and from tables to the page. Sourced by
# scripts/bench.

page=docs/benchmarks.md

# What awk needs everywhere: the values of a row and a contestant, their median, lowest and highest.
statistics='
  function add(key, value,   n, i) {
    n = ++count[key]
    for (i = n; i > 1 && sorted[key, i - 1] > value; i--) sorted[key, i] = sorted[key, i - 1]
    sorted[key, i] = value
  }
  function median(key,   n) {
    n = count[key]
    return n % 2 ? sorted[key, (n + 1) / 2] : (sorted[key, n / 2] + sorted[key, n / 2 + 1]) / 2
  }
  function spread(key) { return sprintf("%d (%d-%d)", median(key), sorted[key, 1], sorted[key, count[key]]) }
  function note(name) { if (!(name in seen)) { seen[name] = 1; order[++rows] = name } }
'

# names WHO...: their titles, with tabs.
names() { local who list=; for who in "$@"; do list+=${list:+$'\t'}${title[$who]}; done; printf '%s' "$list"; }

# rate_table HEAD CONTESTANT...: requests per second, median (lowest-highest), and the ratio to the first contestant. HEAD
# has the names of what rows are made of, with bars between them, as rows have.
rate_table() {
  local head=$1
  shift
  awk -F'\t' -v head="$head" -v list="$*" -v titles="$(names "$@")" "$statistics"'
    { note($1); add($1 SUBSEP $2, $3 + 0) }
    END {
      n = split(list, who, " "); split(titles, name, "\t")
      line = "| " head " | " name[1]; for (c = 2; c <= n; c++) line = line " | " name[c] " | ratio"
      print line " |"
      bars = gsub(/\|/, "|", line) ; line = "|"
      for (b = 1; b <= bars; b++) line = line "---|"
      print line
      for (r = 1; r <= rows; r++) {
        line = "| " order[r]; first = order[r] SUBSEP who[1]
        for (c = 1; c <= n; c++) {
          key = order[r] SUBSEP who[c]
          if (!(key in count)) { line = line " | -"; if (c > 1) line = line " | -"; continue }
          line = line " | " spread(key)
          if (c > 1) line = line (median(first) > 0 ? sprintf(" | **%.2f**", median(key) / median(first)) : " | -")
        }
        print line " |"
      }
    }' "$results"
}

# latency_table HEAD CONTESTANT...: medians of the rate that was asked for and of p50, p99, p99.9 in milliseconds.
latency_table() {
  local head=$1
  shift
  awk -F'\t' -v head="$head" -v list="$*" -v titles="$(names "$@")" "$statistics"'
    { note($1); for (f = 3; f <= 6; f++) add($1 SUBSEP $2 SUBSEP f, $f + 0) }
    END {
      n = split(list, who, " "); split(titles, name, "\t")
      print "| " head " | contestant | requests per second | p50 ms | p99 ms | p99.9 ms |"
      print "|---|---|---|---|---|---|"
      for (r = 1; r <= rows; r++) for (c = 1; c <= n; c++) {
        key = order[r] SUBSEP who[c] SUBSEP
        if (!((key 3) in count)) continue
        printf "| %s | %s | %d | %.2f | %.2f | %.2f |\n", order[r], name[c], median(key 3), median(key 4) / 1e3,
          median(key 5) / 1e3, median(key 6) / 1e3
      }
    }' "$results"
}

# top ROW CONTESTANT: the median of its requests per second.
top() {
  awk -F'\t' -v row="$1" -v who="$2" "$statistics"'$1 == row && $2 == who { add("x", $3 + 0) } END { printf "%d", median("x") }' "$results"
}

# curves CONTESTANT_PREFIX: lines of `holdfast bench plot` from rows that are numbers: medians by contestant.
curves() {
  awk -F'\t' "$statistics"'{ add($2 SUBSEP $1, $3 + 0); note($2 SUBSEP $1) }
    END { for (r = 1; r <= rows; r++) { split(order[r], part, SUBSEP); printf "%s\t%s\t%.1f\n", part[1], part[2], median(order[r]) } }' "$results"
}

# environment: what the figures depend on, as a list.
environment() {
  cat <<EOT
- $(grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //'), $(nproc) cores, $(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo) GiB of memory, Linux $(uname -r | cut -d- -f1)
- $(redis-server --version | cut -d' ' -f1-3), \`--appendonly yes --appendfsync always --save ''\`
- $("$holdfast" --version), $(git rev-parse --short HEAD 2>/dev/null || echo 'no revision'), release build, default settings
- $(if have_etcd; then etcd --version | head -n 1; else echo 'etcd: not installed on this machine, so it is not in the tables'; fi)
EOT
}

# publish SECTION: what comes in replaces the section's part of the page; with --smoke it is only shown.
publish() {
  local text=$data/part
  cat >"$text"
  cat "$text"
  [ -z "$smoke" ] || return 0
  awk -v name="$1" -v file="$text" '
    $0 == "<!-- " name ": begin -->" { print; print ""; while ((getline line < file) > 0) print line; print ""; inside = 1; found = 1; next }
    $0 == "<!-- " name ": end -->" { inside = 0 }
    !inside
    END { exit !found }' "$page" >"$data/page" || die "$page has no part for $1: <!-- $1: begin --> and <!-- $1: end --> are missing"
  cp "$data/page" "$page"
  say "written to $page: $1"
}
