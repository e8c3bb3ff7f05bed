#!/usr/bin/env bash
# 10,000 idle clients, 100 that never read and 10 that pipeline 5000 deep, at three nodes. Fails when the p99 of others
# becomes more than three times what it was without them, when a node grows too much, or an idle client was forgotten.
# usage: chaos/crowd.sh [OPTIONS OF holdfast-chaos crowd...]
source "$(dirname "$0")/../scripts/lib.sh"
need_chaos
exec "$chaos" crowd --holdfast "$holdfast" "$@"
