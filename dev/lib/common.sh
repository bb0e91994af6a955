# State, ports, passwords, processes: what every server needs.
#
# .dev is $STATE, another directory with POSTROOM_DEV_STATE.
# .dev/NAME/      port, port2, password, version, log, pid ("pid boot-id start-time"), left-out (a reason)
# .dev/kafka/     also jvm.options and extra.properties, by hand: added to the command line and to the settings; and
#                 proxies, a line "port host:port" for each: Kafka listens at the port and advertises the address there
# .dev/memory     where databases keep their files while they run, all but the logs of commits, if they were told to
# .dev/data-root  where the servers keep their data: a directory of its own when .dev cannot be entered by
#                 the users that the servers run as (a clone under /root)

# Seconds a server has to answer its first question. Cold, six servers share two cores.
START_TIMEOUT=${POSTROOM_START_TIMEOUT:-120}
# Seconds a server has to end after the first signal, before it is killed.
STOP_TIMEOUT=40

say() { printf '%-10s %s\n' "$1" "$2"; }

die() {
	printf 'dev/services: %s\n' "$1" >&2
	exit 1
}

# lock lets one up or down at a time work on this clone. The servers do not inherit it (see launch).
lock() {
	exec {lock_fd}>"$STATE/lock"
	flock -w 900 "$lock_fd" || die "another dev/services holds $STATE/lock for 15 minutes already"
}

# variable prints the name of the environment variable that carries a server's address to the tests.
variable() {
	case $1 in
	postgres) echo POSTROOM_TEST_POSTGRES_URL ;;
	postgres18) echo POSTROOM_TEST_POSTGRES18_URL ;;
	mariadb) echo POSTROOM_TEST_MARIADB_URL ;;
	kafka) echo POSTROOM_TEST_KAFKA_BROKERS ;;
	pgbouncer) echo POSTROOM_TEST_PGBOUNCER_URL ;;
	redis) echo POSTROOM_TEST_REDIS_ADDR ;;
	rabbitmq) echo POSTROOM_TEST_AMQP_URL ;;
	esac
}

# own_value prints the address, with its password, of the server of this clone.
own_value() {
	if in_docker "$1"; then
		docker_value "$1"
		return
	fi
	local host
	host=127.0.0.1:$(port "$1")
	case $1 in
	postgres | postgres18) echo "postgres://postroom:$(password "$1")@$host/postroom?sslmode=disable" ;;
	pgbouncer) pgbouncer_value "$host" ;;
	mariadb) echo "mysql://postroom:$(password "$1")@$host/postroom" ;;
	rabbitmq) echo "amqp://postroom:$(password "$1")@$host/" ;;
	*) echo "$host" ;;
	esac
}

# given says whether the environment names a server of the caller's. The value that `env` printed for this
# clone's own server is not one: after eval "$(dev/services env)", `up` must still restart a server that died.
given() {
	local variable value
	variable=$(variable "$1")
	value=${!variable:-}
	[[ -n $value && $value != "$(own_value "$1")" ]]
}

value() {
	local variable
	variable=$(variable "$1")
	if given "$1"; then echo "${!variable}"; else own_value "$1"; fi
}

# address prints host and port without the password, "-" when there is none yet.
address() {
	local whole
	if ! given "$1" && ! in_docker "$1" && [[ -z $(port "$1") ]]; then
		echo -
		return
	fi
	whole=$(value "$1")
	whole=${whole#*://}
	whole=${whole##*@}
	echo "${whole%%/*}"
}

port() { content "$STATE/$1/${2:-port}"; }
password() { content "$STATE/$1/password"; }

# content prints a file, nothing for one that is not there.
content() { [[ ! -e $1 ]] || cat "$1"; }

# program prints the path of the first of the named programs that is there, nothing when none is. Debian keeps servers
# in /usr/sbin, which is not on every user's path.
program() {
	local name
	for name in "$@"; do
		if PATH=$PATH:/usr/sbin command -v "$name"; then return; fi
	done
}

# prepare_state makes a server's state directory, with a password and ports of its own.
prepare_state() {
	local dir=$STATE/$1
	mkdir -p "$dir"
	if [[ ! -s $dir/password ]]; then
		(umask 077 && od -An -tx1 -N16 /dev/urandom | tr -d ' \n' >"$dir/password")
	fi
	[[ -s $dir/port ]] || new_port >"$dir/port"
	[[ -s $dir/port2 ]] || new_port >"$dir/port2"
}

# new_port prints a port that nobody listens on and that no server of this clone remembers. It stays below the
# ephemeral range (32768 up), from which the kernel hands out client ports at any moment.
new_port() {
	local candidate
	while :; do
		candidate=$((15000 + (RANDOM * 32768 + RANDOM) % 17000))
		listening "$candidate" && continue
		grep -qsx "$candidate" "$STATE"/*/port "$STATE"/*/port2 && continue
		echo "$candidate"
		return
	done
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_ports replaces the remembered ports of a server that is about to start, where another program took them.
free_ports() {
	local which
	for which in port port2; do
		if listening "$(port "$1" "$which")"; then
			new_port >"$STATE/$1/$which"
		fi
	done
}

# data_dir prints where NAME keeps its data. The directory's owner is the user that the server runs as.
data_dir() { echo "$(data_root)/$1"; }

data_root() {
	if [[ ! -s $STATE/data-root ]]; then
		if ((EUID != 0)) || world_may_enter "$STATE"; then
			mkdir -p "$STATE/data"
			echo "$STATE/data" >"$STATE/data-root"
		else
			mktemp -d /var/lib/postroom-dev.XXXXXXXX >"$STATE/data-root"
		fi
		chmod 755 "$(cat "$STATE/data-root")"
	fi
	cat "$STATE/data-root"
}

# files_dir prints where a database keeps all but the log of its commits: with POSTROOM_DEV_MEMORY=yes at the first start
# in memory, where a checkpoint, and so each CREATE and DROP DATABASE, waits for no disk. The log stays on disk: a commit
# means what it says, and costs what it costs.
files_dir() {
	local memory
	memory=$(memory_dir "$1")
	echo "${memory:-$(data_dir "$1")}"
}

# memory_dir prints a database's directory in memory; nothing: it has none.
memory_dir() { [[ ! -s $STATE/memory ]] || echo "$(cat "$STATE/memory")/$1"; }

# choose_memory makes the directory for them. Where the machine is too small for it, it says so, and they use the disk.
choose_memory() {
	local free
	[[ ${POSTROOM_DEV_MEMORY:-} == yes ]] || return 0
	if [[ -s $STATE/memory ]]; then
		[[ ! -d $(cat "$STATE/memory") ]] || return 0 # gone with a restart of the machine
		rm -f "$STATE/memory"
	fi
	free=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)
	if ((${free:-0} < 4000000 || $(awk '/^MemAvailable/ { print $2 }' /proc/meminfo 2>/dev/null || echo 0) < 8000000)); then
		echo "dev/services: /dev/shm has less than 4 GB, or the machine less than 8 GB of free memory: the databases use the disk"
		return 0
	fi
	mktemp -d /dev/shm/postroom-dev.XXXXXXXX >"$STATE/memory"
	chmod 755 "$(cat "$STATE/memory")"
}

# forget_memory gives the memory of servers that have ended back.
forget_memory() {
	local name
	[[ -s $STATE/memory ]] || return 0
	for name in "$@"; do
		rm -rf -- "$(cat "$STATE/memory")/${name:?}"
	done
	if rmdir -- "$(cat "$STATE/memory")" 2>/dev/null; then
		rm -f "$STATE/memory"
	fi
}

world_may_enter() {
	local dir=$1
	while [[ $dir != / ]]; do
		(($(stat -c %a "$dir") % 2 == 1)) || return 1
		dir=$(dirname "$dir")
	done
}

# purge_data removes a server's data and state, and the data root once it is empty.
purge_data() {
	rm -rf -- "$STATE/${1:?}"
	[[ -s $STATE/data-root ]] || return 0
	rm -rf -- "$(cat "$STATE/data-root")/${1:?}"
	if rmdir -- "$(cat "$STATE/data-root")" 2>/dev/null; then
		rm -f "$STATE/data-root"
	fi
}

# run_user prints the first of the named users that exists; servers refuse to run as root.
run_user() {
	local user
	((EUID == 0)) || { id -un && return; }
	for user in "$@" nobody; do
		if id -u "$user" >/dev/null 2>&1; then
			echo "$user"
			return
		fi
	done
}

# own makes a directory for USER alone.
own() {
	mkdir -p "$2"
	chmod 700 "$2"
	((EUID != 0)) || chown "$1" "$2"
}

# as USER COMMAND… runs a command as that user in a clean environment; VAR=value words may precede it.
as() {
	local user=$1 drop=()
	shift
	((EUID != 0)) || drop=(setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups --)
	"${drop[@]}" env -C / -i PATH="$PATH" LC_ALL=C.UTF-8 "$@"
}

# launch NAME USER COMMAND… starts a server detached from this script: a session of its own, no terminal, and none
# of the caller's descriptors, or `out=$(dev/services up)` and the lock would wait for the server's end.
# setsid, setpriv and env all exec, so that $! is the server's own pid.
launch() {
	local name=$1 user=$2 log=$STATE/$1/log pid fd drop=()
	shift 2
	((EUID != 0)) || drop=(setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups --)
	[[ ! -e $log ]] || mv "$log" "$log.old"
	(
		for fd in /proc/"$BASHPID"/fd/*; do
			fd=${fd##*/}
			((fd <= 2 || fd == 255)) || eval "exec $fd>&-"
		done
		exec setsid "${drop[@]}" env -C / -i PATH="$PATH" LC_ALL=C.UTF-8 "$@" </dev/null >"$log" 2>&1
	) &
	pid=$!
	echo "$pid $(identity "$pid")" >"$STATE/$name/pid"
}

# identity prints what tells this process from a later one with the same pid: the boot and the start time
# (field 22 of proc(5) stat). It fails for a process that is gone or a zombie.
identity() {
	local stat fields
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	read -ra fields <<<"${stat##*) }"
	[[ ${fields[0]} != Z ]] || return 1
	echo "$(cat /proc/sys/kernel/random/boot_id) ${fields[19]}"
}

# alive says whether the process that launch recorded, and not another with its pid, is running.
alive() {
	local pid recorded now
	[[ -s $STATE/$1/pid ]] || return 1
	read -r pid recorded <"$STATE/$1/pid"
	now=$(identity "$pid") || return 1
	[[ $now == "$recorded" ]]
}

# await returns once the server has answered; it fails with the end of the log when it died or took too long.
await() {
	local name=$1 version deadline=$((SECONDS + START_TIMEOUT))
	until version=$("${name}_ready" 2>/dev/null) && [[ -n $version ]]; do
		if ! alive "$name"; then
			say "$name" "died while starting"
			tail_log "$name"
			return 1
		fi
		if ((SECONDS >= deadline)); then
			say "$name" "has not answered within $START_TIMEOUT s"
			tail_log "$name"
			return 1
		fi
		sleep 0.2
	done
	echo "$version" >"$STATE/$name/version"
}

tail_log() {
	if [[ -s $STATE/$1/log ]]; then
		tail -n 40 "$STATE/$1/log" | sed "s/^/$1: /" >&2
	fi
}

# stop ends a server that launch started, by its pid, and only if that pid is still that process.
stop() {
	local name=$1 pid _ deadline=$((SECONDS + STOP_TIMEOUT))
	if in_docker "$name"; then
		docker_down "$name"
		return
	fi
	if ! alive "$name"; then
		rm -f "$STATE/$name/pid"
		return 0
	fi
	read -r pid _ <"$STATE/$name/pid"
	kill -s "$("${name}_signal")" "$pid"
	while alive "$name"; do
		if ((SECONDS == deadline)); then
			kill -s KILL "$pid"
		elif ((SECONDS > deadline + 5)); then
			say "$name" "process $pid does not end"
			return 1
		fi
		sleep 0.1
	done
	rm -f "$STATE/$name/pid"
	say "$name" "stopped"
}
