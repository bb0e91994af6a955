# Installing: Debian packages as root, jars from Maven Central.

# packages that this machine lacks are installed in the background, in one apt-get, while the servers that need none
# of them start already.
install_packages_for() {
	local name package missing=()
	INSTALL_PID=
	rm -f "$STATE/install.done"
	for name in "$@"; do
		[[ -n $("${name}_missing") ]] || lacks_client "$name" || continue
		for package in $("${name}_packages"); do
			installed "$package" || [[ " ${missing[*]} " == *" $package "* ]] || missing+=("$package")
		done
	done
	if ((${#missing[@]} == 0)); then
		: >"$STATE/install.done"
		return 0
	fi
	if ! can_install; then
		echo "needs the Debian packages ${missing[*]}, and only root can install them with apt-get" >"$STATE/install.done"
		return 0
	fi
	say install "${missing[*]}"
	(
		if apt_install "${missing[@]}" >"$STATE/install.log" 2>&1; then
			: >"$STATE/install.done"
		else
			tail -n 20 "$STATE/install.log" >&2
			echo "apt-get could not install ${missing[*]}, see $STATE/install.log" >"$STATE/install.done"
		fi
	) &
	INSTALL_PID=$!
}

# lacks_client says whether a program is missing that the server runs without, but tests and people want.
lacks_client() {
	case $1 in
	kafka) [[ -z $(command -v kcat) ]] ;;
	postgres | postgres18) [[ -z $(command -v psql) ]] ;;
	*) return 1 ;;
	esac
}

# wait_for_install is called by siblings of the install job, which cannot wait for it: they watch its mark.
wait_for_install() {
	while [[ ! -e $STATE/install.done ]] && kill -0 "$INSTALL_PID" 2>/dev/null; do
		sleep 0.2
	done
}

# install_hint says, for a server's *_missing, what to do about a program that is not here.
install_hint() {
	local failed
	failed=$(content "$STATE/install.done")
	printf '%s not found: %s; or start Docker, or set %s to a server of yours\n' \
		"$1" "${failed:-apt-get install $("${2}_packages")}" "$(variable "$2")"
}

installed() { [[ $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) == "install ok installed" ]]; }

can_install() { ((EUID == 0)) && [[ -e /etc/debian_version ]] && command -v apt-get >/dev/null; }

# apt_install installs without starting anything: Debian starts a server, and PostgreSQL a cluster, from the package's
# own scripts. policy-rc.d and createcluster.d say no for the time of the install, and are put back as they were.
apt_install() {
	# Not local: the trap runs when this function's scope is gone.
	policy=/usr/sbin/policy-rc.d
	cluster=/etc/postgresql-common/createcluster.d/postroom-dev.conf
	kept=$(mktemp -d)
	[[ ! -e $policy ]] || cp -p "$policy" "$kept/policy-rc.d"
	restore() {
		rm -f "$policy" "$cluster"
		rmdir --ignore-fail-on-non-empty "$(dirname "$cluster")"
		[[ ! -e $kept/policy-rc.d ]] || cp -p "$kept/policy-rc.d" "$policy"
		rm -rf "$kept"
	}
	trap restore EXIT # of the subshell that this runs in
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	mkdir -p "$(dirname "$cluster")"
	echo "create_main_cluster = false" >"$cluster"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -o DPkg::Lock::Timeout=300 update </dev/null &&
		apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" </dev/null &&
		disable_units "$@"
}

# disable_units keeps the servers that were just installed from starting with the machine, beside ours.
disable_units() {
	local package units=()
	for package in "$@"; do
		case $package in
		postgresql-15) units+=(postgresql) ;;
		mariadb-server) units+=(mariadb) ;;
		rabbitmq-server) units+=(rabbitmq-server epmd.service epmd.socket) ;;
		pgbouncer | redis-server) units+=("$package") ;;
		esac
	done
	((${#units[@]} > 0)) && command -v systemctl >/dev/null || return 0
	systemctl disable "${units[@]}"
}

java_program() {
	program ${JAVA_HOME:+"$JAVA_HOME/bin/java"} java
}

# maven NAME DIRECTORY POM GOAL ARGUMENT… fills DIRECTORY with what POM depends on, unless it is there already. What
# cannot be fetched leaves NAME out.
# One at a time: Maven 3 does not lock its repository. The pom is copied, because Maven leaves a target/ beside it.
maven() {
	local name=$1 target=$2 pom=$3 goal=$4 work
	shift 4
	[[ ! -d $target ]] || return 0
	mkdir -p "$CACHE"
	(
		flock 9
		[[ ! -d $target ]] || exit 0
		work=$(mktemp -d "$CACHE/maven.XXXXXXXX")
		trap 'rm -rf "$work"' EXIT
		cp "$pom" "$work/pom.xml"
		if mvn -q -B -f "$work/pom.xml" "dependency:$goal" -DoutputDirectory="$work/out" "$@" \
			</dev/null >"$STATE/$name/log" 2>&1; then
			mv "$work/out" "$target"
			exit
		fi
		tail_log "$name"
		echo "Maven could not fetch what $pom names, see $STATE/$name/log; start Docker, or set $(variable "$name")" \
			>"$STATE/$name/left-out"
		exit 1
	) 9>"$CACHE/maven.lock"
}
