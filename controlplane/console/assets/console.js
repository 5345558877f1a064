// What plain HTML can't: copying, questions in a dialog, whether the page still hears of changes. Without it all works by links and forms.
(() => {
	const copied = (button, text) => {
		button.textContent = text;
		setTimeout(() => { button.textContent = "Copy"; }, 2000);
	};

	document.addEventListener("click", async (event) => {
		const button = event.target.closest("[data-copy]");
		if (button) {
			const from = document.getElementById(button.dataset.copy);
			try {
				await navigator.clipboard.writeText(from.textContent);
				copied(button, "Copied");
			} catch {
				getSelection().selectAllChildren(from);
				copied(button, "Press Ctrl-C");
			}
			return;
		}
		const link = event.target.closest("a[data-ask]");
		if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
			event.preventDefault();
			const resp = await fetch(link.href, { headers: { "Console-Part": "question" } });
			if (!resp.ok || resp.redirected) { location.assign(link.href); return; }
			const box = document.getElementById("question");
			box.innerHTML = await resp.text();
			box.showModal();
			return;
		}
		if (event.target.closest("[data-close]")) {
			const box = event.target.closest("dialog");
			if (box) { event.preventDefault(); box.close(); }
		}
	});

	// A part that is there for some values of a select alone: data-if="kind=tcp udp".
	const fit = () => document.querySelectorAll("[data-if]").forEach((part) => {
		const [name, values] = part.dataset.if.split("=");
		const control = document.querySelector(`select[name="${name}"]`);
		if (control) part.hidden = !values.split(" ").includes(control.value);
	});
	document.addEventListener("change", fit);
	fit();

	// The palette: Ctrl-K, arrows through what was found, Escape.
	document.addEventListener("keydown", (event) => {
		const find = document.getElementById("find");
		if (!find) return;
		if ((event.ctrlKey || event.metaKey) && event.key === "k") {
			event.preventDefault();
			find.focus();
			find.select();
			return;
		}
		if (!find.form.contains(document.activeElement)) return;
		const found = document.getElementById("found");
		if (event.key === "Escape") {
			found.replaceChildren();
			find.value = "";
			find.focus();
		} else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
			const all = [find, ...found.querySelectorAll("a")];
			event.preventDefault();
			all[(all.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : all.length - 1)) % all.length].focus();
		} else if (event.key === "Enter" && document.activeElement === find && found.querySelector("a")) {
			event.preventDefault();
			found.querySelector("a").click();
		}
	});

	for (const [name, state] of [["htmx:sse:after:connection", ""], ["htmx:sse:error", "lost"]]) {
		document.addEventListener(name, () => { document.body.dataset.link = state; });
	}

	// htmx connects once more to a stream that was there. One that did not come about is asked for again here.
	let wait = 1000, again;
	document.addEventListener("htmx:sse:after:connection", () => { wait = 1000; });
	for (const name of ["htmx:error", "htmx:response:error"]) {
		document.addEventListener(name, (event) => {
			const live = event.target;
			if (live.id !== "live") return;
			document.body.dataset.link = "lost";
			clearTimeout(again);
			again = setTimeout(() => live.dispatchEvent(new Event("again")), wait * (0.7 + 0.6 * Math.random()));
			wait = Math.min(2 * wait, 60000);
		});
	}
})();
