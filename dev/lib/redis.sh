# Redis, for the caches of examples/shop.

redis_packages() { echo redis-server redis-tools; }
redis_signal() { echo TERM; }

redis_missing() {
	[[ -n $(command -v redis-server) && -n $(command -v redis-cli) ]] || install_hint "Redis" redis
}

redis_start() {
	local user home
	user=$(run_user redis)
	home=$(data_dir redis)
	own "$user" "$home"
	launch redis "$user" "$(command -v redis-server)" --bind 127.0.0.1 --port "$(port redis)" --dir "$home" --save ''
}

redis_ready() {
	timeout 10 redis-cli -h 127.0.0.1 -p "$(port redis)" info server </dev/null | tr -d '\r' |
		awk -F: '$1 == "redis_version" { print $2 }'
}
