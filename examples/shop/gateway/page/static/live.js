// Replaces the parts of the page that changed, and sends its forms without leaving it. Without this script the page
// shows the shop as it was when it was loaded, and all forms work.
"use strict";

function say(text) {
	document.getElementById("notice").textContent = text;
}

function replace(id, html) {
	const part = document.getElementById(id);
	if (!part) return;
	const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
	part.innerHTML = html; // the server has rendered and escaped it
	if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function connect() {
	const source = new EventSource("/watch/events");
	source.addEventListener("part", (event) => {
		const space = event.data.indexOf(" ");
		replace(event.data.slice(0, space), event.data.slice(space + 1));
	});
	source.addEventListener("open", () => {
		if (document.body.classList.replace("away", "here")) say("");
	});
	source.addEventListener("error", () => {
		document.body.classList.add("away");
		document.body.classList.remove("here");
		say("The gateway is away. This page comes back by itself.");
		if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000); // the browser has given up
	});
}
if (document.getElementById("map")) connect();

document.addEventListener("submit", async (event) => {
	const form = event.target;
	if (!("quiet" in form.dataset)) return;
	event.preventDefault();
	form.querySelector("button").setAttribute("aria-busy", "true");
	try {
		const answer = await fetch(form.action, {
			method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual",
		});
		if (answer.status >= 400) say((await answer.json()).detail);
	} catch {
		say("The gateway did not answer.");
	}
	form.querySelector("button").removeAttribute("aria-busy");
});
