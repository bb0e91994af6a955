# Chromium, for the browser test of examples/shop. It is no server: the test starts it, and ends it.

chromium_packages() { echo chromium; }

chromium_missing() {
	[[ -n $(chromium_program) ]] ||
		echo "Chromium not found: apt-get install chromium; or set POSTROOM_TEST_CHROMIUM to the path of yours"
}

chromium_program() {
	if [[ -n ${POSTROOM_TEST_CHROMIUM:-} ]]; then
		echo "$POSTROOM_TEST_CHROMIUM"
	else
		program chromium chromium-browser google-chrome
	fi
}
