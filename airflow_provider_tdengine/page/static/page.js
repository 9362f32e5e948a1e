// The page is made by the server. This asks for it again and again, and puts in what has changed; and it sends what
// buttons do to Airflow's REST API.

const root = document.documentElement;
const airflow = document.body.dataset.airflow;

// --- Light or dark, as Airflow is that has it in a frame

function follow_theme() {
  const outer = window.parent.document.documentElement;
  const take = () => {
    root.dataset.theme = outer.classList.contains("dark") || outer.dataset.theme === "dark" ? "dark" : "light";
  };
  new MutationObserver(take).observe(outer, { attributes: true, attributeFilter: ["class", "data-theme"] });
  take();
}

const is_framed = window.parent !== window;
if (is_framed) follow_theme();

// Airflow's own pages replace Airflow's page, not what is in the frame. The frame itself may not do that.
function leave(address) {
  if (!is_framed) return location.assign(address);
  const outer = window.parent.document.createElement("a");
  outer.href = address;
  window.parent.document.body.append(outer);
  outer.click();
  outer.remove();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-top]");
  if (!link || !is_framed || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  leave(link.href);
});

// --- What has changed

function morph(old, fresh) {
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) {
    // What somebody has opened stays open.
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  if (old.matches("input, select, textarea, dialog")) return;
  const known = new Map([...old.children].filter((one) => one.id).map((one) => [one.id, one]));
  let place = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const same = next.id ? known.get(next.id) : place;
    if (same && same.nodeName === next.nodeName && (same.id ?? "") === (next.id ?? "")) {
      if (same !== place) old.insertBefore(same, place);
      else place = place.nextSibling;
      if (same.nodeType === Node.ELEMENT_NODE) morph(same, next);
      else if (same.data !== next.data) same.data = next.data;
    } else {
      old.insertBefore(next, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

async function refresh() {
  const live = document.getElementById("live");
  if (!live) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.status === 401) location.reload();
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    if (fresh) morph(live, fresh);
    live.classList.remove("stale");
  } catch {
    // Airflow is being restarted, or the network is gone: what is shown is of before.
    live.classList.add("stale");
  }
}

async function keep_fresh() {
  const live = document.getElementById("live");
  for (;;) {
    await new Promise((done) => setTimeout(done, 1000 * live.dataset.every));
    if (!document.hidden) await refresh();
  }
}

if (document.getElementById("live")?.dataset.every) keep_fresh();

// --- Filters

for (const form of document.querySelectorAll("form.filters")) {
  form.addEventListener("change", () => form.requestSubmit());
}

// --- Buttons

const said = document.getElementById("said");

function confirmed(button) {
  const dialog = document.getElementById("ask");
  dialog.querySelector("h2").textContent = `${button.textContent}?`;
  dialog.querySelector("p").textContent = button.dataset.question;
  const [no, yes] = dialog.querySelectorAll("button");
  yes.textContent = button.textContent;
  return new Promise((done) => {
    dialog.onclose = () => done(dialog.returnValue === "yes");
    for (const one of [no, yes]) one.onclick = () => dialog.close(one.value);
    dialog.returnValue = "";
    dialog.showModal();
  });
}

async function send({ method, path, body }) {
  const answer = await fetch(airflow + path, {
    method,
    headers: { Accept: "application/json", "Content-Type": "application/json" },
    body: body === null ? undefined : JSON.stringify(body),
  });
  if (answer.ok) return answer;
  const { detail } = await answer.json().catch(() => ({}));
  const why = typeof detail === "string" ? detail : JSON.stringify(detail ?? answer.statusText);
  throw new Error(answer.status === 403 ? "Airflow says that you may not do this" : why);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-requests]");
  if (!button || (button.dataset.question && !(await confirmed(button)))) return;
  button.disabled = true;
  said.textContent = `${button.textContent} …`;
  try {
    for (const request of JSON.parse(button.dataset.requests)) await send(request);
    said.textContent = "";
    if (button.dataset.leaves) location.assign(button.dataset.leaves);
    else await refresh();
  } catch (error) {
    said.textContent = `${button.textContent} failed: ${error.message}`;
  } finally {
    button.disabled = false;
  }
});

// --- The form

function value_of(field) {
  if (field.dataset.kind === "boolean") return field.checked;
  if (field.value === "" && field.dataset.empty !== undefined) return null;
  return field.dataset.kind === "integer" || field.dataset.kind === "number" ? Number(field.value) : field.value;
}

document.querySelector("form[data-trigger]")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const conf = {};
  for (const field of form.querySelectorAll("[data-kind]")) {
    const value = value_of(field);
    // What is not changed is left to the DAG.
    // Written anew: to Python, 5.0 is another text than 5.
    if (JSON.stringify(value) !== JSON.stringify(JSON.parse(field.dataset.default))) conf[field.name] = value;
  }
  const button = form.querySelector("button");
  button.disabled = true;
  said.textContent = "";
  try {
    const answer = await send({ method: "POST", path: form.dataset.trigger, body: { logical_date: null, conf } });
    const { dag_run_id } = await answer.json();
    // As the server writes it, see showing.py.
    const next = form.dataset.next + encodeURIComponent(dag_run_id).replaceAll("%3A", ":").replaceAll("%2B", "+");
    if (form.dataset.top === undefined) location.assign(next);
    else leave(next);
  } catch (error) {
    said.textContent = `It was not started: ${error.message}`;
    button.disabled = false;
  }
});

root.dataset.ready = "";
