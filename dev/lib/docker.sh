# The same servers by Docker (dev/compose.yaml), for machines where they cannot be installed. Its ports are fixed, so two
# clones share one set.

docker_compose() { docker compose -f "$ROOT/dev/compose.yaml" "$@" </dev/null; }

docker_answers() {
	[[ -n $(command -v docker) ]] && timeout 20 docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
}

# in_docker says whether this clone's NAME was started by Docker.
in_docker() { [[ -e $STATE/$1/docker ]]; }

docker_up() {
	if ! docker_compose up -d --wait --wait-timeout "$START_TIMEOUT" "$1" >"$STATE/$1/log" 2>&1; then
		say "$1" "docker compose could not start it"
		tail_log "$1"
		return 1
	fi
	: >"$STATE/$1/docker"
	say "$1" "up at $(address "$1"), by Docker"
}

docker_down() {
	docker_compose rm --stop --force --volumes "$1" >"$STATE/$1/log" 2>&1 || {
		tail_log "$1"
		return 1
	}
	rm -f "$STATE/$1/docker"
	say "$1" "stopped, by Docker"
}

# docker_port prints the port that compose.yaml publishes for NAME.
docker_port() {
	case $1 in
	postgres) echo 25432 ;;
	postgres18) echo 25433 ;;
	pgbouncer) echo 25434 ;;
	mariadb) echo 23306 ;;
	kafka) echo 29092 ;;
	redis) echo 26379 ;;
	rabbitmq) echo 25672 ;;
	esac
}

docker_value() {
	local host
	host=127.0.0.1:$(docker_port "$1")
	case $1 in
	postgres | postgres18 | pgbouncer) echo "postgres://postroom:postroom@$host/postroom?sslmode=disable" ;;
	mariadb) echo "mysql://postroom:postroom@$host/postroom" ;;
	rabbitmq) echo "amqp://postroom:postroom@$host/" ;;
	*) echo "$host" ;;
	esac
}
