// Shows the status of the engine.
const status = await (await fetch("/api/status")).json();
document.getElementById("status").textContent = JSON.stringify(status, null, 2);
