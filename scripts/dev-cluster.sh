#!/usr/bin/env bash
# A three-node cluster on this machine, for development: HTTP on 8001-8003, gRPC on 9001-9003.
#
#   scripts/dev-cluster.sh start      make .venv when missing, start what does not run, initialize once, wait for a leader
#   scripts/dev-cluster.sh stop       end the nodes; their data stays
#   scripts/dev-cluster.sh status     one line per node
#   scripts/dev-cluster.sh test       a short smoke test against the running cluster
#   scripts/dev-cluster.sh logs [N]   follow all logs, or node N's
#   scripts/dev-cluster.sh clean      stop, and delete data and logs
#
# Data, logs and pid files are in ./data/dev-cluster; DEV_CLUSTER_DIR names another place.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly ids=(1 2 3)
readonly start_seconds=60 leader_seconds=30 stop_seconds=20
dir=${DEV_CLUSTER_DIR:-data/dev-cluster}

say() { printf '==> %s\n' "$*"; }
die() { printf 'dev-cluster: %s\n' "$*" >&2; exit 1; }

http_port() { echo $((8000 + $1)); }
grpc_port() { echo $((9000 + $1)); }
http_url() { echo "http://127.0.0.1:$(http_port "$1")"; }
log_of() { echo "$dir/node$1/node.log"; }
ask() { curl --silent --show-error --max-time "${3-5}" "$(http_url "$1")$2"; }

# The pid of a node, when its process runs and is really ours: a pid file may be older than a restart of the machine.
pid_of() {
    local file="$dir/node$1/pid" pid
    [ -f "$file" ] || return 1
    pid=$(cat "$file")
    kill -0 "$pid" 2>/dev/null || return 1
    command_of "$pid" | grep -q "ferrite-server.*cluster-node$1.toml" || return 1
    echo "$pid"
}
command_of() {
    if [ -r "/proc/$1/cmdline" ]; then
        tr '\0' ' ' <"/proc/$1/cmdline"
    else
        ps -p "$1" -o args= 2>/dev/null # macOS has no /proc
    fi
}

# `wait_until seconds what command...`: a dot every half second, so that waiting is seen.
wait_until() {
    local tries=$(($1 * 2)) what=$2
    shift 2
    printf '==> waiting for %s ' "$what"
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        if [ "$tries" -le 0 ]; then
            printf ' no\n'
            return 1
        fi
        printf '.'
        sleep 0.5
    done
    printf ' ok\n'
}

# Values of a JSON answer on stdin: `json 'answer["term"]'`.
json() { .venv/bin/python -c 'import json, sys; answer = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

port_is_free() {
    .venv/bin/python - "$1" <<'PYTHON'
import socket, sys
with socket.socket() as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", int(sys.argv[1])))
    except OSError:
        sys.exit(1)
PYTHON
}

check_ports() {
    local id=$1 port
    if pid_of "$id" >/dev/null; then
        return
    fi
    for port in "$(http_port "$id")" "$(grpc_port "$id")"; do
        port_is_free "$port" || die "port $port is in use by another process, node $id needs it. End that process (ss -ltnp | grep $port shows it) and start again."
    done
}

start_node() {
    local id=$1
    if pid_of "$id" >/dev/null; then
        say "node $id runs already"
        return
    fi
    mkdir -p "$dir/node$id"
    nohup .venv/bin/ferrite-server --config "configs/cluster-node$id.toml" --data-dir "$dir/node$id/data" \
        >>"$(log_of "$id")" 2>&1 </dev/null &
    echo $! >"$dir/node$id/pid"
    say "node $id started (pid $!)"
}

answers() { ask "$1" /livez 2; }

# By number alone: a process that was started a moment ago does not bear the server's name yet.
has_ended() { ! kill -0 "$(cat "$dir/node$1/pid")" 2>/dev/null; }

wait_answering() {
    local id=$1
    answers_or_ended() { answers "$id" || has_ended "$id"; }
    wait_until "$start_seconds" "node $id" answers_or_ended || die "node $id does not answer. Its log: $(log_of "$id")"
    if has_ended "$id"; then
        tail -n 15 "$(log_of "$id")" >&2
        die "node $id ended at its start. The end of its log ($(log_of "$id")) is above."
    fi
}

is_initialized() { [ "$(ask "$1" /metrics | json 'answer["initialized"]')" = True ]; }
leader_of() { ask "$1" /metrics 2 | json 'answer["current_leader"] or 0'; }
all_know_leader() {
    local id
    for id in "${ids[@]}"; do
        [ "$(leader_of "$id")" != 0 ] || return 1
    done
}

initialize() {
    local id answer
    for id in "${ids[@]}"; do
        if is_initialized "$id"; then
            return
        fi
    done
    say "initializing a new cluster of nodes ${ids[*]}"
    answer=$(curl --silent --show-error --max-time "$leader_seconds" --write-out '\n%{http_code}' -X POST "$(http_url 1)/init")
    [ "${answer##*$'\n'}" = 200 ] || die "/init was refused: $answer"
}

cmd_start() {
    local id
    scripts/setup-venv.sh
    for id in "${ids[@]}"; do check_ports "$id"; done
    for id in "${ids[@]}"; do start_node "$id"; done
    for id in "${ids[@]}"; do wait_answering "$id"; done
    initialize
    wait_until "$leader_seconds" "a leader" all_know_leader || { cmd_status; die "no leader. Look at: scripts/dev-cluster.sh logs"; }
    cmd_status
}

cmd_stop() {
    local id pid pids=() tries=$((stop_seconds * 5))
    for id in "${ids[@]}"; do
        if pid=$(pid_of "$id"); then
            kill -TERM "$pid"
            pids+=("$pid")
            say "node $id (pid $pid): asked to stop"
        else
            say "node $id does not run"
        fi
        rm -f "$dir/node$id/pid"
    done
    while [ ${#pids[@]} -gt 0 ] && kill -0 "${pids[@]}" 2>/dev/null && [ "$tries" -gt 0 ]; do
        sleep 0.2
        tries=$((tries - 1))
    done
    for pid in "${pids[@]+"${pids[@]}"}"; do
        tries=$((tries > 0 ? tries : 1))
        while kill -0 "$pid" 2>/dev/null && [ "$tries" -gt 0 ]; do
            sleep 0.2
            tries=$((tries - 1))
        done
        if kill -0 "$pid" 2>/dev/null; then
            say "pid $pid does not end: killed"
            kill -KILL "$pid" 2>/dev/null || true
        fi
    done
}

cmd_status() {
    local id rows=() missing=0
    [ -x .venv/bin/python ] || die "no .venv: scripts/dev-cluster.sh start makes it"
    for id in "${ids[@]}"; do
        pid_of "$id" >/dev/null || missing=1
        rows+=("$id" "$(pid_of "$id" || echo -)" "127.0.0.1:$(http_port "$id")" "127.0.0.1:$(grpc_port "$id")" "$(ask "$id" /metrics 2 2>/dev/null || true)")
    done
    .venv/bin/python - "${rows[@]}" <<'PYTHON'
import json, sys

line = "{:<5} {:<8} {:<14} {:<6} {:<7} {:<9} {:<15} {:<15}"
print(line.format("node", "pid", "role", "term", "leader", "applied", "http", "grpc").rstrip())
for start in range(1, len(sys.argv), 5):
    node, pid, http, grpc, metrics = sys.argv[start : start + 5]
    try:
        found = json.loads(metrics) if pid != "-" else None
    except ValueError:
        found = None
    if found is None:
        shown = ("down" if pid == "-" else "no answer", "-", "-", "-")
    else:
        shown = (found["state"], found["term"], found["current_leader"] or "-", found["last_applied"])
    print(line.format(node, pid, *shown, http, grpc).rstrip())
PYTHON
    return "$missing"
}

expect() {
    local what=$1 wanted=$2 got
    shift 2
    got=$("$@" 2>&1) || true
    if grep -qE -e "$wanted" <<<"$got"; then
        printf '  PASS  %s\n' "$what"
    else
        printf '  FAIL  %s\n          wanted %s\n          got    %s\n' "$what" "$wanted" "$got"
        failed=1
    fi
}

post() { curl --silent --show-error --max-time 10 -X POST -H 'Content-Type: application/json' -d "$3" "$(http_url "$1")$2"; }

cmd_test() {
    local failed=0 id value
    for id in "${ids[@]}"; do pid_of "$id" >/dev/null || die "node $id does not run: scripts/dev-cluster.sh start"; done
    value="value-$$-$RANDOM"
    expect "write at node 1" '"revision"' post 1 /write '{"Set":{"key":"dev-cluster-test","value":"'"$value"'"}}'
    for id in "${ids[@]}"; do
        expect "read at node $id" "$value" post "$id" /read '{"key":"dev-cluster-test"}'
    done
    expect "delete at node 2" '"existed": *true' post 2 /write '{"Delete":{"key":"dev-cluster-test"}}'
    expect "the key is gone at node 3" '"value": *null' post 3 /read '{"key":"dev-cluster-test"}'
    expect "health" '"status"|"healthy"' ask 1 /health
    expect "metrics name a leader" '"current_leader": *[123]' ask 1 /metrics
    expect "is-leader" '"is_leader"' ask 1 /is-leader
    expect "leader" '"leader": *[123]' ask 1 /leader
    expect "a malformed body is refused" '"code": *"invalid"' post 1 /write '{"Set":'
    for id in "${ids[@]}"; do
        echo "  gRPC at node $id:"
        .venv/bin/ferrite-grpc-client-test --addr "127.0.0.1:$(grpc_port "$id")" || failed=1
    done
    [ "$failed" = 0 ] || die "the smoke test failed"
    say "all passed"
}

cmd_logs() {
    local id files=()
    for id in ${1:-"${ids[@]}"}; do
        [ ! -f "$(log_of "$id")" ] || files+=("$(log_of "$id")")
    done
    [ ${#files[@]} -gt 0 ] || die "no logs in $dir"
    exec tail -n 50 -F "${files[@]}"
}

cmd_clean() {
    local id
    cmd_stop
    for id in "${ids[@]}"; do rm -rf "$dir/node$id"; done
    rmdir "$dir" 2>/dev/null || true
    say "data and logs of the development cluster deleted"
}

case "${1-}" in
    start | stop | status | test | clean) "cmd_$1" ;;
    restart) cmd_stop && cmd_start ;;
    logs) cmd_logs "${2-}" ;;
    *) sed -n '2,/^set -/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p' >&2; exit 2 ;;
esac
