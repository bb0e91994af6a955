# PostgreSQL 15 (Debian's, or zonky's from Maven) and PostgreSQL 18 (zonky's). One set of functions, two servers.

POSTGRES_MAVEN_15=15.18.0
POSTGRES_MAVEN_18=18.4.0

postgres_packages() { echo postgresql-15 postgresql-client-15; }
postgres18_packages() { echo default-jre-headless maven xz-utils postgresql-client; }

# Debian's PostgreSQL 15 is preferred; Maven's is for those who cannot install it, and for other distributions.
postgres_missing() {
	[[ -z $(debian_postgres15) ]] || return 0
	if can_install && [[ ! -s $STATE/install.done ]] || ! zonky_possible "$POSTGRES_MAVEN_15"; then
		install_hint "PostgreSQL 15" postgres
	fi
}

postgres18_missing() {
	zonky_possible "$POSTGRES_MAVEN_18" || install_hint "Maven or xz" postgres18
}

zonky_possible() {
	[[ $(uname -s) == Linux && -n $(command -v xz) ]] && [[ -d $(zonky_cache "$1") || -n $(command -v mvn) ]]
}

postgres_start() {
	local bin
	bin=$(debian_postgres15)
	[[ -n $bin ]] || bin=$(zonky_bin postgres "$POSTGRES_MAVEN_15") || return 1
	start_postgres postgres "$bin"
}

postgres18_start() {
	local bin
	bin=$(zonky_bin postgres18 "$POSTGRES_MAVEN_18") || return 1
	start_postgres postgres18 "$bin"
}

postgres_ready() { ask_postgres postgres "$(port postgres)" "$(password postgres)"; }
postgres18_ready() { ask_postgres postgres18 "$(port postgres18)" "$(password postgres18)"; }

# SIGINT is a fast shutdown; SIGTERM would wait for every client to leave.
postgres_signal() { echo INT; }
postgres18_signal() { echo INT; }

debian_postgres15() {
	local bin=/usr/lib/postgresql/15/bin
	[[ ! -x $bin/postgres ]] || echo "$bin"
}

zonky_cache() { echo "$CACHE/postgres-$1"; }

# zonky_bin unpacks the binaries beside the data: the cache may be in a home that the server's user cannot enter.
zonky_bin() {
	local name=$1 version=$2 arch dist cache
	arch=$(uname -m)
	case $arch in
	x86_64) arch=amd64 ;;
	aarch64) arch=arm64v8 ;;
	esac
	cache=$(zonky_cache "$version")
	maven "$name" "$cache" "$ROOT/dev/postgres/pom.xml" unpack-dependencies \
		-Dpostgres.version="$version" -Dpostgres.arch="$arch" || return 1
	dist=$(data_dir "$name")/dist-$version
	if [[ ! -d $dist ]]; then
		mkdir -p "$dist.new"
		tar -xJf "$cache"/*.txz -C "$dist.new" --no-same-owner && chmod -R go+rX "$dist.new" &&
			mv "$dist.new" "$dist" || return 1
	fi
	echo "$dist/bin"
}

start_postgres() {
	local name=$1 bin=$2 user data
	user=$(run_user postgres)
	data=$(files_dir "$name")/cluster
	mkdir -p "$(data_dir "$name")" "${data%/*}"
	[[ -d $data ]] || make_cluster "$name" "$bin" "$user" "$data" || return 1
	launch "$name" "$user" "$bin/postgres" -D "$data" -c port="$(port "$name")"
}

# make_cluster works in a directory that gets its name last, so that one that was interrupted is made anew.
make_cluster() {
	local name=$1 bin=$2 user=$3 data=$4 new=$4.new log=()
	rm -rf "$new"
	own "$user" "$new"
	if [[ -n $(memory_dir "$name") ]]; then
		rm -rf "$(data_dir "$name")/wal"
		own "$user" "$(data_dir "$name")/wal"
		log=(--waldir="$(data_dir "$name")/wal")
	fi
	cp "$STATE/$name/password" "$new.password"
	((EUID != 0)) || chown "$user" "$new.password"
	as "$user" "$bin/initdb" -D "$new" -U postroom --pwfile="$new.password" --auth=scram-sha-256 \
		--encoding=UTF8 --locale=C.UTF-8 "${log[@]}" >"$STATE/$name/log" 2>&1 || return 1
	rm -f "$new.password"
	postgres_settings >>"$new/postgresql.conf"
	echo "CREATE DATABASE postroom" |
		as "$user" "$bin/postgres" --single -D "$new" postgres >>"$STATE/$name/log" 2>&1 || return 1
	mv "$new" "$data"
}

# Durable as in production (fsync, synchronous_commit): a claim about crashes means nothing otherwise.
postgres_settings() {
	cat <<-EOF
		listen_addresses = '127.0.0.1'
		unix_socket_directories = ''
		max_connections = 200
		shared_buffers = 256MB
		fsync = on
		synchronous_commit = on
		wal_level = logical
		max_prepared_transactions = 20
		password_encryption = 'scram-sha-256'
	EOF
}

# ask_postgres NAME PORT PASSWORD prints the server's version. Where there is no psql, line 8 of the server's own pid
# file says whether it takes connections.
ask_postgres() {
	local data
	if [[ -z $(command -v psql) ]]; then
		data=$(files_dir "$1")/cluster
		[[ $(sed -n 8p "$data/postmaster.pid") == ready* ]] && cat "$data/PG_VERSION"
		return
	fi
	PGPASSWORD=$3 PGCONNECT_TIMEOUT=5 timeout 10 psql -XAtq -h 127.0.0.1 -p "$2" -U postroom -d postroom \
		-c 'SHOW server_version' </dev/null | cut -d' ' -f1
}
