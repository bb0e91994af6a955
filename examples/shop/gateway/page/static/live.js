// Replaces the parts of the page that changed. The browser connects again by itself when the gateway was away.
"use strict";
const source = new EventSource("/watch/events");
source.addEventListener("part", (event) => {
	const space = event.data.indexOf(" ");
	const part = document.getElementById(event.data.slice(0, space));
	// The server has rendered and escaped it.
	if (part) part.innerHTML = event.data.slice(space + 1);
});
source.addEventListener("open", () => document.body.classList.remove("away"));
source.addEventListener("error", () => document.body.classList.add("away"));
