// Passkeys are all that these pages need a script for.
(() => {
	if (!window.PublicKeyCredential || !PublicKeyCredential.parseRequestOptionsFromJSON) return;

	const post = async (url, body, type) => {
		const resp = await fetch(url, { method: "POST", body, headers: type ? { "Content-Type": type } : {} });
		const said = await resp.json();
		if (!resp.ok) throw new Error(said.error);
		return said;
	};
	const told = (box, err) => {
		const note = box.querySelector("[role=alert]");
		note.textContent = err.name === "NotAllowedError" ? "Your browser did not show a passkey." : err.message;
		note.hidden = false;
	};

	const box = document.querySelector("[data-passkey=sign-in]");
	if (box) {
		box.hidden = false;
		box.querySelector("button").addEventListener("click", async () => {
			try {
				const options = await post("/sign-in/passkey/options");
				const cred = await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options.publicKey) });
				const next = encodeURIComponent(box.dataset.next);
				const said = await post("/sign-in/passkey?next=" + next, JSON.stringify(cred.toJSON()), "application/json");
				location.assign(said.location);
			} catch (err) { told(box, err); }
		});
	}

	const form = document.querySelector("[data-passkey-form]");
	if (form) {
		form.hidden = false; // not before: what a form sends by itself would be a password to nobody
		form.addEventListener("submit", async (event) => {
			event.preventDefault();
			try {
				const options = await post("/account/passkeys/options", new URLSearchParams(new FormData(form)), "application/x-www-form-urlencoded");
				const cred = await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options.publicKey) });
				const name = encodeURIComponent(form.elements.name.value);
				const said = await post("/account/passkeys?name=" + name, JSON.stringify(cred.toJSON()), "application/json");
				location.assign(said.location);
			} catch (err) { told(form, err); }
		});
	}
})();
