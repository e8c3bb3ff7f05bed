#!/usr/bin/env bash
# Whether the runner finds anything: attacks real nodes that have a known bug (scripts/mutants puts all of them into the
# simulator), one bug after the other, and fails where nothing came of it.
# usage: chaos/known-bugs.sh [SECONDS=60]
source "$(dirname "$0")/../scripts/lib.sh"
need_chaos
if [ -z "${HOLDFAST_SKIP_BUILD:-}" ]; then
  say "building with all known bugs (RocksDB only if it never was)"
  with_progress cargo build --release --locked --quiet --features mutants --bin holdfast-mutants
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
seconds=${1:-60} missed=()

# attacked BUG OPTION...: a run against nodes with the bug, which the sound program judges. Nodes get no environment of ours,
# so a program starts them.
attacked() {
  local bug=$1 code=0
  shift
  cat >"$work/node" <<EOT
#!/bin/sh
[ "\$1" != check ] || exec $(printf %q "$holdfast") "\$@"
KNOWN_BUG=$bug exec $(printf %q "$target/release/holdfast-mutants") "\$@"
EOT
  chmod +x "$work/node"
  "$chaos" run --holdfast "$work/node" --seconds "$seconds" "$@" >"$work/report" 2>&1 || code=$?
  if [ $code = 1 ] && grep -qE '^[1-9][0-9]* violations' "$work/report"; then
    say "$bug: found: $(grep -m 1 -E '^judge: |^holdfast: node .* stops at once' "$work/report")"
  else
    say "$bug: MISSED (exit code $code)"
    tail -n 20 "$work/report"
    missed+=("$bug")
  fi
}

attacked answers-when-proposed --faults kill --lanes 1
attacked followers-answer-before-fsync --faults power-cut-all --lanes 1
attacked replies-are-not-stored --faults partition,peer-link --lanes 2
[ ${#missed[@]} = 0 ] || die "not found: ${missed[*]}"
