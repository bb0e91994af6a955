# MariaDB 10.11. It stands in for MySQL 8 as well, which no package source here has.

mariadb_packages() { echo mariadb-server mariadb-client; }
mariadb_signal() { echo TERM; }

mariadb_missing() {
	[[ -n $(program mariadbd) && -n $(command -v mariadb) && -n $(command -v mariadb-install-db) ]] ||
		install_hint "MariaDB" mariadb
}

mariadb_start() {
	local user home data log
	user=$(run_user mysql)
	home=$(data_dir mariadb)
	data=$(files_dir mariadb)/data
	mkdir -p "$home" "${data%/*}"
	log=$data
	[[ -z $(memory_dir mariadb) ]] || log=$home/redo
	# A server that starts removes what it takes for left over temporary tables in its tmpdir: in /tmp those of servers
	# that start or work beside it.
	own "$user" "${data%/*}/tmp"
	[[ -d $data ]] || make_mariadb_data "$user" "$data" "$log" "${data%/*}/tmp" || return 1
	(umask 077 && mariadb_accounts >"$home/init.sql")
	((EUID != 0)) || chown "$user" "$home/init.sql"
	# The socket's name is relative to the data directory: a long path would not fit into a socket address.
	launch mariadb "$user" "$(program mariadbd)" --no-defaults --datadir="$data" --tmpdir="${data%/*}/tmp" --socket=mariadb.sock --pid-file=mariadb.pid \
		--bind-address=127.0.0.1 --port="$(port mariadb)" --skip-name-resolve --skip-log-bin \
		--character-set-server=utf8mb4 --max-connections=300 --innodb-buffer-pool-size=256M \
		--innodb-log-group-home-dir="$log" --innodb-flush-log-at-trx-commit=1 --init-file="$home/init.sql"
}

make_mariadb_data() {
	local user=$1 data=$2 log=$3 tmp=$4 new=$2.new flag=()
	rm -rf "$new"
	own "$user" "$new"
	if [[ $log != "$data" ]]; then
		rm -rf "$log"
		own "$user" "$log"
		flag=(--innodb-log-group-home-dir="$log")
	fi
	((EUID != 0)) || flag+=(--user="$user")
	mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db \
		--datadir="$new" --tmpdir="$tmp" "${flag[@]}" </dev/null >"$STATE/mariadb/log" 2>&1 || return 1
	mv "$new" "$data"
}

# mariadb_accounts is run by the server itself at every start, one statement a line: the password is never in argv, and
# the accounts without one that the installation makes are gone before anyone can connect.
mariadb_accounts() {
	local host
	for host in localhost 127.0.0.1 ::1 "$(hostname)"; do
		echo "DROP USER IF EXISTS 'root'@'$host';"
		echo "DROP USER IF EXISTS ''@'$host';"
	done
	echo "CREATE USER IF NOT EXISTS 'postroom'@'%' IDENTIFIED BY '$(password mariadb)';"
	echo "GRANT ALL PRIVILEGES ON *.* TO 'postroom'@'%' WITH GRANT OPTION;"
	echo "CREATE DATABASE IF NOT EXISTS postroom;"
}

mariadb_ready() {
	MYSQL_PWD=$(password mariadb) timeout 10 mariadb --no-defaults --protocol=tcp --host=127.0.0.1 \
		--port="$(port mariadb)" --user=postroom --connect-timeout=5 --batch --skip-column-names \
		--execute='SELECT version()' postroom </dev/null | cut -d- -f1
}
