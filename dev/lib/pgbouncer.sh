# pgbouncer in transaction mode, in front of PostgreSQL 15: any database, any role.

pgbouncer_packages() { echo pgbouncer postgresql-client; }
pgbouncer_signal() { echo TERM; }

pgbouncer_missing() {
	if [[ -z $(program pgbouncer) || -z $(command -v psql) ]]; then
		install_hint "pgbouncer or psql" pgbouncer
		return
	fi
	if given postgres && [[ -z $(given_postgres) ]]; then
		echo "POSTROOM_TEST_POSTGRES_URL is not postgres://user:password@host:port/…; set POSTROOM_TEST_PGBOUNCER_URL too"
	fi
}

# given_postgres prints host, port, user and password of a PostgreSQL that the environment names.
given_postgres() {
	local url=${POSTROOM_TEST_POSTGRES_URL:-}
	[[ $url =~ ^postgres(ql)?://([^:@/]+):([^@/]*)@([^:@/]+)(:([0-9]+))?(/.*)?$ ]] || return 0
	printf '%s %s %b %b\n' "${BASH_REMATCH[4]}" "${BASH_REMATCH[6]:-5432}" \
		"${BASH_REMATCH[2]//%/\\x}" "${BASH_REMATCH[3]//%/\\x}"
}

# pgbouncer_backend prints what given_postgres does, of the PostgreSQL that pgbouncer stands in front of.
pgbouncer_backend() {
	if given postgres; then
		given_postgres
	elif in_docker postgres; then
		echo "127.0.0.1 $(docker_port postgres) postroom postroom"
	else
		echo "127.0.0.1 $(port postgres) postroom $(password postgres)"
	fi
}

# pgbouncer_value is PostgreSQL's address with pgbouncer's host and port: user, password and database are the same.
pgbouncer_value() {
	local url
	url=$(value postgres)
	[[ $url =~ ^([a-z]+://[^@/]+@)[^/?]*(.*)$ ]] || return 0
	echo "${BASH_REMATCH[1]}$1${BASH_REMATCH[2]}"
}

pgbouncer_start() {
	local user home host port login secret
	user=$(run_user postgres)
	home=$(data_dir pgbouncer)
	read -r host port login secret <<<"$(pgbouncer_backend)"
	own "$user" "$home"
	printf '"%s" "%s"\n' "$login" "$secret" >"$home/users"
	pgbouncer_settings "$home" "$host" "$port" "$login" >"$home/pgbouncer.ini"
	chmod 600 "$home/users" "$home/pgbouncer.ini"
	((EUID != 0)) || chown "$user" "$home/users" "$home/pgbouncer.ini"
	launch pgbouncer "$user" "$(program pgbouncer)" "$home/pgbouncer.ini"
}

# auth_query lets roles that a test makes log in as well. Idle server connections are given up soon, or a test could
# not drop its database; a failed login is tried again at once, since PostgreSQL may be starting at this moment.
pgbouncer_settings() {
	cat <<-EOF
		[databases]
		* = host=$2 port=$3
		[pgbouncer]
		listen_addr = 127.0.0.1
		listen_port = $(port pgbouncer)
		unix_socket_dir =
		pool_mode = transaction
		auth_type = scram-sha-256
		auth_file = $1/users
		auth_user = $4
		admin_users = $4
		max_client_conn = 1000
		default_pool_size = 20
		server_idle_timeout = 5
		server_login_retry = 1
		ignore_startup_parameters = extra_float_digits
		log_connections = 0
		log_disconnections = 0
	EOF
}

# The question goes through to PostgreSQL; the version is pgbouncer's own.
pgbouncer_ready() {
	local host port login secret
	read -r host port login secret <<<"$(pgbouncer_backend)"
	PGPASSWORD=$secret PGCONNECT_TIMEOUT=5 timeout 10 psql -XAtq -h 127.0.0.1 -p "$(port pgbouncer)" -U "$login" \
		-d postgres -c 'SELECT 1' </dev/null >/dev/null || return 1
	"$(program pgbouncer)" --version | awk 'NR == 1 { print $2 }'
}
