# RabbitMQ, optional: dev/services up rabbitmq. Erlang's port mapper is a second process, with a port of its own, or all
# RabbitMQs of this machine would share one that nobody stops.

rabbitmq_packages() { echo rabbitmq-server; }
rabbitmq_signal() { echo TERM; }

rabbitmq_missing() {
	[[ -n $(rabbitmq_program) && -n $(command -v epmd) ]] || install_hint "RabbitMQ" rabbitmq
}

rabbitmq_program() {
	local program=/usr/lib/rabbitmq/bin/rabbitmq-server
	if [[ -x $program ]]; then echo "$program"; else command -v rabbitmq-server || true; fi
}

rabbitmq_start() {
	local user home
	user=$(run_user rabbitmq)
	home=$(data_dir rabbitmq)
	own "$user" "$home"
	printf '%s\n' 'default_user = postroom' "default_pass = $(password rabbitmq)" "listeners.tcp.1 = 127.0.0.1:$(port rabbitmq)" \
		>"$home/rabbitmq.conf"
	chmod 600 "$home/rabbitmq.conf"
	((EUID != 0)) || chown "$user" "$home/rabbitmq.conf"
	launch rabbitmq "$user" HOME="$home" RABBITMQ_NODENAME="postroom-$(port rabbitmq)@localhost" \
		RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf" RABBITMQ_DIST_PORT="$(port rabbitmq port2)" \
		RABBITMQ_MNESIA_BASE="$home/mnesia" RABBITMQ_LOG_BASE="$home/log" RABBITMQ_LOGS=- \
		RABBITMQ_ENABLED_PLUGINS_FILE="$home/enabled_plugins" "$(rabbitmq_program)"
}

rabbitmq_ready() { return 1; }
