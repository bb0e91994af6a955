# Apache Kafka, one node, KRaft, from its jars; and kcat, which the tests read with.

KAFKA_VERSION=4.3.1
# Fetched, and started by internal/kafkatest alone: for what Kafka did by a topic's name before it did so by its id.
KAFKA_OLD_VERSION=3.9.1

kafka_packages() { echo default-jre-headless maven kcat; }
kafka_signal() { echo TERM; }

kafka_missing() {
	if [[ -z $(java_program) ]]; then
		install_hint "Java 17" kafka
	elif [[ ! -d $CACHE/kafka-$KAFKA_VERSION || ! -d $CACHE/kafka-$KAFKA_OLD_VERSION ]] && [[ -z $(command -v mvn) ]]; then
		install_hint "Maven" kafka
	fi
}

kafka_start() {
	local home java options lib=$CACHE/kafka-$KAFKA_VERSION
	java=$(java_program)
	home=$(data_dir kafka)
	options=$(content "$STATE/kafka/jvm.options")
	maven kafka "$lib" "$ROOT/dev/kafka/pom.xml" copy-dependencies -Dkafka.version="$KAFKA_VERSION" || return 1
	maven kafka "$CACHE/kafka-$KAFKA_OLD_VERSION" "$ROOT/dev/kafka/pom.xml" copy-dependencies -Dkafka.version="$KAFKA_OLD_VERSION" || return 1
	mkdir -p "$home"
	kafka_settings "$home" >"$home/server.properties"
	[[ -s $home/cluster-id ]] || head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c1-22 >"$home/cluster-id"
	# Formatting takes a JVM, and as long as the start itself: once is enough.
	[[ -s $home/log/meta.properties ]] ||
		"$java" -cp "$lib/*" kafka.tools.StorageTool format --ignore-formatted -t "$(cat "$home/cluster-id")" \
			-c "$home/server.properties" </dev/null >"$STATE/kafka/log" 2>&1 || return 1
	# shellcheck disable=SC2086 # several words
	launch kafka "$(id -un)" "$java" -Xms512m -Xmx1g $options -cp "$lib/*" kafka.Kafka "$home/server.properties"
}

kafka_settings() {
	local listeners advertised protocols=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT number=0 inner address
	listeners=PLAINTEXT://127.0.0.1:$(port kafka)
	advertised=$listeners
	while read -r inner address; do
		number=$((number + 1))
		listeners+=,PROXY$number://127.0.0.1:$inner
		advertised+=,PROXY$number://$address
		protocols+=,PROXY$number:PLAINTEXT
	done < <(content "$STATE/kafka/proxies")
	cat <<-EOF
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:$(port kafka port2)
		listeners=$listeners,CONTROLLER://127.0.0.1:$(port kafka port2)
		advertised.listeners=$advertised
		controller.listener.names=CONTROLLER
		listener.security.protocol.map=$protocols
		log.dirs=$1/log
		num.partitions=8
		auto.create.topics.enable=false
		offsets.topic.replication.factor=1
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		share.coordinator.state.topic.replication.factor=1
		share.coordinator.state.topic.min.isr=1
		group.initial.rebalance.delay.ms=0
	EOF
	content "$STATE/kafka/extra.properties"
}

# With kcat the question is for the brokers of the cluster. Without it, an ApiVersions request, version 0
# (length 10, key 18, version 0, correlation id 1, no client id): any answer has the correlation id in bytes 5 to 8.
kafka_ready() {
	local kcat answer
	kcat=$(program kcat kafkacat)
	if [[ -n $kcat ]]; then
		answer=$(timeout 10 "$kcat" -b "127.0.0.1:$(port kafka)" -m 5 -L </dev/null)
		[[ $answer == *"1 brokers:"* ]] || return 1
	else
		exec 3<>"/dev/tcp/127.0.0.1/$(port kafka)" || return 1
		printf '\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xff' >&3
		answer=$(timeout 5 head -c 10 <&3 | od -An -tx1 | tr -d ' \n')
		exec 3>&-
		[[ ${answer:8:12} == 000000010000 ]] || return 1
	fi
	echo "$KAFKA_VERSION"
}
