# RabbitMQ. Erlang's port mapper (epmd) is a second process with a port of its own:
# left to itself, RabbitMQ would start one for the whole machine that nobody stops.

rabbitmq_packages() { echo rabbitmq-server; }
rabbitmq_signal() { echo TERM; }
epmd_signal() { echo TERM; }

rabbitmq_missing() {
	[[ -n $(rabbitmq_program) && -n $(command -v epmd) ]] || install_hint "RabbitMQ" rabbitmq
}

rabbitmq_program() {
	program /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
}

rabbitmq_start() {
	local user home
	user=$(run_user rabbitmq)
	home=$(data_dir rabbitmq)
	own "$user" "$home"
	rabbitmq_settings >"$home/rabbitmq.conf"
	chmod 600 "$home/rabbitmq.conf"
	((EUID != 0)) || chown "$user" "$home/rabbitmq.conf"
	start_epmd "$user" || return 1
	launch rabbitmq "$user" HOME="$home" RABBITMQ_NODENAME="postroom-$(port rabbitmq)@localhost" \
		RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf" RABBITMQ_DIST_PORT="$(port rabbitmq port2)" \
		ERL_EPMD_PORT="$(port epmd)" ERL_EPMD_ADDRESS=127.0.0.1 \
		RABBITMQ_MNESIA_BASE="$home/mnesia" RABBITMQ_LOG_BASE="$home/log" RABBITMQ_LOGS=- \
		RABBITMQ_ENABLED_PLUGINS_FILE="$home/enabled_plugins" "$(rabbitmq_program)"
}

rabbitmq_settings() {
	cat <<-EOF
		listeners.tcp.1 = 127.0.0.1:$(port rabbitmq)
		default_user = postroom
		default_pass = $(password rabbitmq)
	EOF
}

# start_epmd returns when it listens: a node that comes first would start the machine's shared one.
start_epmd() {
	local deadline=$((SECONDS + 10))
	alive epmd && return
	prepare_state epmd
	free_ports epmd
	launch epmd "$1" "$(command -v epmd)" -port "$(port epmd)" -address 127.0.0.1
	until listening "$(port epmd)"; do
		((SECONDS < deadline)) && alive epmd || return 1
		sleep 0.1
	done
}

# The answer to an AMQP 0-9-1 protocol header is a frame (type 1, channel 2, length 4 bytes) with Connection.Start, whose
# server properties carry the version, as a long string after a length of 4 bytes.
rabbitmq_ready() {
	local length
	exec 3<>"/dev/tcp/127.0.0.1/$(port rabbitmq)" || return 1
	printf 'AMQP\0\0\x09\x01' >&3
	length=$(timeout 5 head -c 7 <&3 | od -An -tx1 | tr -d ' \n')
	[[ ${#length} == 14 ]] || return 1
	timeout 5 head -c "$((16#${length:6}))" <&3 | tr '\0' ' ' | grep -aoP 'versionS   .\K[0-9.]+'
	exec 3>&-
}
