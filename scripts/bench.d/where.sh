# Where the processor time of a command goes, thread by thread and stage by stage. Sourced by scripts/bench.

count=${rounds:-3}
start_redis
redis_pid=${pids[0]}
start_one
one_pid=${cluster[0]}
start_three
three_pids=("${cluster[@]}")
leader=$((${address[three]##*:} - $(resp_port $((base + 200)) 1)))
ticks=$(getconf CLK_TCK)

# threads ROLE PID: a line per thread: role, kind of thread, ticks in the program, ticks in the kernel, how often it fell
# asleep and how often it was made to give way.
threads() {
  local role=$1 task line fields name field value asleep gave_way
  for task in /proc/"$2"/task/*; do
    read -r line <"$task/stat" 2>/dev/null || continue
    # The name is in parentheses and may hold anything; what follows it does not.
    name=${line#*\(} name=${name%)*}
    read -ra fields <<<"${line##*) }"
    case $name in
      io | raft | log | flush) ;;
      machine-*) name=machine ;;
      rocksdb*) name=rocksdb ;;
      redis-server) name='its thread' ;;
      *) name=other ;;
    esac
    asleep=0 gave_way=0
    while read -r field value; do
      case $field in
        voluntary_ctxt_switches:) asleep=$value ;;
        nonvoluntary_ctxt_switches:) gave_way=$value ;;
      esac
    done 2>/dev/null <"$task/status" || continue
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$role" "$name" "${fields[11]}" "${fields[12]}" "$asleep" "$gave_way"
  done
}

# machine_wide: busy, waiting for disks, idle (ticks of all cores), context switches.
machine_wide() {
  awk '$1 == "cpu" { print "busy", $2 + $3 + $4 + $7 + $8; print "disk", $6; print "idle", $5 } $1 == "ctxt" { print "switches", $2 }' /proc/stat
}

# look WHO: all of it for a contestant, now.
look() {
  machine_wide | sed 's/^/machine\t/; s/ /\t/'
  case $1 in
    redis) threads server "$redis_pid" ;;
    one) threads server "$one_pid" ;;
    three)
      local i
      for i in 0 1 2; do threads "$([ $i = $leader ] && echo server || echo followers)" "${three_pids[i]}"; done
      ;;
  esac
}

# stages PORT: sums and counts of every stage.
stages() {
  http_get "$1" /metrics |
    sed -nE 's/^holdfast_stage_(seconds|size)_(sum|count)\{stage="([a-z]+)"\} ([0-9.e+-]+).*/\3\t\1_\2\t\4/p'
}

# where TEST PIPELINE CONTESTANT: puts load on it; lines of $results.
where() {
  local test=$1 pipeline=$2 who=$3 asked rate port
  asked=$((requests * (pipeline == 1 ? 1 : 4)))
  case $who in
    one) port=$(http_port $((base + 100)) 1) ;;
    three) port=$(http_port $((base + 200)) $((leader + 1))) ;;
    *) port= ;;
  esac
  look "$who" >"$data/before"
  [ -z "$port" ] || stages "$port" >"$data/stages.before"
  rate=$(redis-benchmark -p "${address[$who]#*:}" -n "$asked" -c 50 -d 100 -r 100000 -P "$pipeline" --csv -t "$test" 2>/dev/null |
    awk -F'","' '$2 + 0 > 0 { rate = $2 } END { if (!rate) exit 1; print rate }') || die "redis-benchmark gave no result for $test against ${title[$who]}"
  look "$who" >"$data/after"
  awk -F'\t' -v OFS='\t' -v row="${test^^} | $pipeline" -v who="$who" -v asked="$asked" -v rate="$rate" -v tick=$((1000000 / ticks)) '
    function all(sign) {
      if ($1 == "machine") machine[$2] += sign * $3
      else { user[$1 SUBSEP $2] += sign * $3; kernel[$1 SUBSEP $2] += sign * $4; slept[$1 SUBSEP $2] += sign * $5; gave[$1 SUBSEP $2] += sign * $6; kinds[$1 SUBSEP $2] = 1; ours += sign * ($3 + $4) }
    }
    FILENAME ~ /before$/ { all(-1); next }
    { all(1) }
    END {
      total = machine["busy"] + machine["disk"] + machine["idle"]
      print row, who, "rate", rate
      print row, who, "idle", 100 * machine["idle"] / total
      print row, who, "disk", 100 * machine["disk"] / total
      print row, who, "switches", machine["switches"] / asked
      print row, who, "generator and the rest", (machine["busy"] - ours) * tick / asked
      for (kind in kinds) {
        split(kind, part, SUBSEP)
        name = part[1] == "server" ? part[2] : part[2] " of followers"
        print row, who, name, (user[kind] + kernel[kind]) * tick / asked
        print row, who, "slept:" name, slept[kind] / asked
        print row, who, "gave way:" name, gave[kind] / asked
      }
    }' "$data/before" "$data/after" >>"$results"
  [ -n "$port" ] || return 0
  stages "$port" >"$data/stages.after"
  awk -F'\t' -v OFS='\t' -v row="${test^^} | $pipeline" -v who="$who" '
    FILENAME ~ /before$/ { was[$1 SUBSEP $2] = $3; next }
    { now[$1 SUBSEP $2] = $3 - was[$1 SUBSEP $2]; names[$1] = 1 }
    END {
      for (name in names) {
        batches = now[name SUBSEP "seconds_count"]
        if (batches > 0) {
          print row, who, "stage:" name ":micros", now[name SUBSEP "seconds_sum"] / batches * 1e6
          print row, who, "stage:" name ":size", now[name SUBSEP "size_sum"] / batches
        }
      }
    }' "$data/stages.before" "$data/stages.after" >>"$results"
}

for contestant in redis one three; do
  redis-benchmark -p "${address[$contestant]#*:}" -n "$requests" -c 50 -d 100 -r 100000 -P 16 -q -t set >/dev/null
done
for ((round = 1; round <= count; round++)); do
  for pipeline in 1 16; do
    for test in set get; do
      for contestant in redis one three; do where $test $pipeline $contestant; done
    done
  done
  say "round $round of $count done"
done

# where_table KEY=HEAD...: medians, a line per command, pipeline and contestant. What is below $digits has two digits.
where_table() {
  awk -F'\t' -v digits="${digits:-0}" -v columns="$(printf '%s\n' "$@")" -v titles="redis=${title[redis]};one=${title[one]};three=${title[three]}" "$statistics"'
    { add($1 SUBSEP $2 SUBSEP $3, $4 + 0); note($1 SUBSEP $2) }
    END {
      n = split(columns, column, "\n")
      k = split(titles, pair, ";"); for (i = 1; i <= k; i++) { split(pair[i], name, "="); named[name[1]] = name[2] }
      line = "| command | pipeline | contestant"; bars = "|---|---|---"
      for (c = 1; c <= n; c++) { split(column[c], part, "="); key[c] = part[1]; line = line " | " part[2]; bars = bars "|---:" }
      print line " |"; print bars "|"
      for (r = 1; r <= rows; r++) {
        split(order[r], part, SUBSEP); line = "| " part[1] " | " named[part[2]]
        any = 0
        for (c = 1; c <= n; c++) {
          at = order[r] SUBSEP key[c]
          any += at in count
          line = line " | " (at in count ? sprintf(median(at) < digits ? "%.2f" : median(at) < 100 ? "%.1f" : "%.0f", median(at)) : "-")
        }
        if (any) print line " |"
      }
    }' "$results"
}

# stage_lines: lines of `holdfast bench bars`: medians of the stages of SET, one behind the other. The log is written while
# others receive the entry: what replication takes beyond it is their part.
stage_lines() {
  awk -F'\t' -v titles="one=${title[one]};three=${title[three]}" "$statistics"'
    $1 ~ /^SET/ && $3 ~ /:micros$/ { split($3, part, ":"); add($1 SUBSEP $2 SUBSEP part[2], $4 + 0); note($1 SUBSEP $2) }
    function of(name) { return (at SUBSEP name) in count ? median(at SUBSEP name) : 0 }
    function put(name, size) { printf "%s\t%s\t%.1f\n", bar, name, (size > 0 ? size : 0) }
    END {
      k = split(titles, pair, ";"); for (i = 1; i <= k; i++) { split(pair[i], name, "="); named[name[1]] = name[2] }
      for (r = 1; r <= rows; r++) {
        at = order[r]; split(at, part, SUBSEP); split(part[1], asked, " [|] ")
        bar = named[part[2]] ", pipeline " asked[2]
        put("parse", of("parse")); put("queue", of("queue")); put("evaluate", of("evaluate")); put("log", of("log")); put("fsync", of("fsync"))
        put("rest of replicate", of("replicate") - of("log") - of("fsync")); put("apply", of("apply")); put("publish", of("publish")); put("reply", of("reply"))
      }
    }' "$results"
}
stage_lines | "$holdfast" bench bars --title 'A SET through the stages of the leader' --unit 'microseconds per batch' \
  --output "$pictures/stages.svg" || die "stages.svg could not be drawn"

publish where <<EOT
Written by \`scripts/bench --where --rounds $count --requests $requests\`: medians of $count rounds. redis-benchmark with 50 clients,
100-byte values and 100,000 random keys, as for the figures.

$(environment)

Of the machine: processor time that nobody used, that waited for disks, and how often a core went from one thread to
another, per command.

$(where_table rate='requests per second' idle='idle %' disk='disk %' switches='switches per command')

Microseconds of processor time per command, in the kernel and in the program, by thread: \`io\` reads, parses, answers and
writes, \`machine\` evaluates and applies, \`raft\` and \`log\` belong to the log, \`flush\` and \`rocksdb\` to what is applied. The
threads of both followers are together. "Generator" is redis-benchmark and what the kernel did for nobody in particular.

$(where_table 'its thread=redis' io=io machine=machine raft=raft log=log flush=flush rocksdb=rocksdb \
  'io of followers=io f.' 'machine of followers=machine f.' 'raft of followers=raft f.' 'log of followers=log f.' 'flush of followers=flush f.' \
  'generator and the rest=generator')

Hand-overs: how often a thread fell asleep per command, to be woken by another one, and behind the stroke how often it had to give way
to another one that was woken. Each costs the kernel's switch and what the core forgot meanwhile.

$(digits=10 where_table 'slept:its thread=redis' slept:io=io slept:machine=machine slept:raft=raft slept:log=log \
  'slept:io of followers=io f.' 'slept:machine of followers=machine f.' 'slept:raft of followers=raft f.' 'slept:log of followers=log f.' \
  'gave way:its thread=/ redis' 'gave way:io=/ io' 'gave way:machine=/ machine' 'gave way:raft=/ raft' 'gave way:log=/ log' \
  'gave way:io of followers=/ io f.' 'gave way:raft of followers=/ raft f.')

![A SET through the stages of the leader](bench/stages.svg)

Stages of the leader, microseconds per batch, and what a batch holds (requests; bytes for evaluate, log and reply; entries for
replicate and apply):

$(where_table stage:parse:micros=parse stage:queue:micros=queue stage:queue:size=requests stage:evaluate:micros=evaluate stage:evaluate:size=bytes \
  stage:log:micros=log stage:log:size=bytes stage:fsync:micros=fsync stage:replicate:micros=replicate stage:replicate:size=entries stage:apply:micros=apply \
  stage:apply:size=entries stage:publish:micros=publish stage:publish:size=answers stage:reply:micros=reply)
EOT
