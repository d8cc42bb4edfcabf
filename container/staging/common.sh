# What stage, smoke and unstage share; sourced.
# shellcheck shell=bash
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$repository" || exit
export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-portsyncd-stage}
# What `make stage` chose.
# shellcheck disable=SC2034
chosen=target/stage.env

say() { echo "stage: $*"; }
fail() { echo "stage: $*" >&2; exit 1; }

docker info >/dev/null 2>&1 || fail "no container engine answers: is dockerd running, and may this user ask it? (docker info)"
if docker compose version >/dev/null 2>&1; then
    compose=(docker compose --file container/compose.yaml)
elif command -v docker-compose >/dev/null; then
    compose=(docker-compose --file container/compose.yaml)
else
    fail "neither Compose v2 (docker compose) nor docker-compose is installed"
fi

# container SERVICE: its id, whether it runs or not.
container() { "${compose[@]}" ps --all --quiet "$1" 2>/dev/null || "${compose[@]}" ps --quiet "$1"; }

# within SECONDS WHAT COMMAND...: waits until the command succeeds; whatever it prints is shown if it never does.
within() {
    local limit=$1 what=$2 end output
    shift 2
    end=$((SECONDS + limit))
    until output=$("$@" 2>&1); do
        if [ $SECONDS -ge $end ]; then
            printf 'stage: FAILED within %s s: %s\n%s\n' "$limit" "$what" "$output" >&2
            "${compose[@]}" ps >&2 || true
            "${compose[@]}" logs --no-color --tail=20 >&2 || true
            exit 1
        fi
        sleep 0.3
    done
    say "ok: $what"
}

healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$(container "$1")")" = healthy ]; }
